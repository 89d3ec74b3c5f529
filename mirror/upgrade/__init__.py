"""An upgrade: the charts and platforms of its hops, gathered (gather.py), and what changes at each (changes.py)."""
