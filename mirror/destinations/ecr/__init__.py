"""Amazon ECR.

host.py          what its hosts are called, and what they say                     pure
access.py        whom AWS is asked as                                             pure
refusals.py      what AWS means by a refusal                                      pure
repositories.py  what a repository is wanted to be, and how it differs            pure
iam.py           the least that IAM must allow, for each way of use               pure
aws.py           boto3, which lives here and nowhere else; loaded by the first question that is put to AWS
api.py           the calls that we make, none of which blocks the event loop
credentials.py   the registry's password, from AWS
registry.py      a repository, by the distribution API and PutImage
dialect.py       what ECR means by its answers over HTTP
deleter.py       images deleted, and tags
provider.py      repositories made, told of and repaired; looks.py sees them, examination.py judges them
"""
