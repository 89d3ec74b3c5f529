"""Harbor: its projects, and how it departs from the distribution specification.

dialect.py      what its answers mean, and what to do about its refusals
doublestar.py   the patterns of its rules                                   pure
project.py      a project: what its rules hold and delete, its quota        pure
api.py          the part of its own API that is used
diagnosis.py    what was seen of it, as findings                            pure
words.py        what there is to say, in refusals and in findings           pure
provider.py     makes the project, and says what would go wrong
"""
