"""Faults between two real registries, by a seeded plan, and what must hold whatever they were.

    source ◄── gateway ◄──┐                ┌──► gateway ──► destination
                 ▲        ├──── mirror ────┤       ▲
                 └────────┴─ Plan.of(seed) ┴───────┘

plan      which request meets which fault: a function of the seed
gateway   does the faults
bed       the registries, the release, and runs of the program between them
oracle    what must hold afterwards, looked at with code of its own
trial     a run with faults, judged; then one without, which must end in step
haste     an event loop whose seconds are short, so that back-offs are

`python -m tests.faults --seeds 1000` tries many, and `--start N --seeds 1` one again.
"""
