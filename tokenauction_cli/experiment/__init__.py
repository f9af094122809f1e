"""What a YAML file may say, where in it a mistake is, and the experiment that it resolves to.

It knows keys, prompts, sweeps and the names of rules; it does not load models, and writes no file but a starter.
"""
