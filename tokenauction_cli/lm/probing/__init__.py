"""Evaluating a model file once in a child process: does llama.cpp survive, do batches keep bits."""
