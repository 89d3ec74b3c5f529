"""Retention: which releases may go from a mirror (policy.py), and how they go without what stays losing anything.

records ─► policy ─► fates ─► clearing: what of each repository may go with them ─► prune: two phases, by a clearance
"""
