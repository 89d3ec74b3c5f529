"""The service for a long time between two real registries, with faults, restarts and changes; what must hold then.

    source ◄── gateway ◄──┐                       ┌──► gateway ──► destination
                          ├──── mirror serve ─────┤
    what is asked of it ──┴─► /proc, log, metrics ┴─► figures

figures     what is sampled, and what must hold of it; pure
troubles    what is done to it, and when: a function of the seed; pure
trial       the bed, the service, and the hours

`python -m tests.soak --minutes 30` does it, and prints what was measured.
"""
