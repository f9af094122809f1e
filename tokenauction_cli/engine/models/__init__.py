"""An experiment's models and prompts, ready to ask.

It knows what an agent needs loaded, not what is done with the logits.
"""
