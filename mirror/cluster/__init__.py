"""A cluster: what it runs (running.py), as what a mirror may have it (known.py), and whether it does (audit.py)."""
