"""What a finished text is worth to an agent, before payments.

It reads texts and asks judges; it knows no bid and no payment.
"""
