"""What texts say, as people read them: mentions of phrases, whatever script they are in.

It knows texts alone: no agent, no experiment, no file.
"""
