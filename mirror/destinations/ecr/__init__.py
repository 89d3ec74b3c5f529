"""Amazon ECR: boto3 lives here and nowhere else.

host.py          what its hosts are called, and what they say                     pure
"""
