"""What an agent reads becomes tokens; control tokens come from templates alone.

Templates of models are rendered in a child process.
"""
