"""The difference between two releases, or upstream and a mirror: both gathered (gather.py), then found (found.py)."""
