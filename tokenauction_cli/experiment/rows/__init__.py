"""Files of queries: their rows, one at a time, and a sample of them."""
