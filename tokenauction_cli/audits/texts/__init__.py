"""What deviations gain over whole texts: exactly where every text can be listed, from samples elsewhere.

It knows trials and texts, not tables or charts of them.
"""
