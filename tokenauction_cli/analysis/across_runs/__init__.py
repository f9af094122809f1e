"""Several runs side by side: what differs, in files and in numbers."""
