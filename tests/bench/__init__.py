"""The bench: how long mirror and other tools take for the same release, and how its cost grows with many releases.

    make bench   two registries, a link between them, tools that take turns   ─► docs/performance.md
    make scale   one mirror of a thousand small releases, on loopback         ─► docs/performance.md

    __main__ ─► bed.sh up ─► scenario, inside of the bed ─► results.jsonl ─► report
                  │             ├ tools     how each is called
                  ├ release     ├ machine   what a command took
                  └ charts      └ in_step   what a run takes that finds nothing to do

Nothing here is timed by a test: what is measured is written down, never asserted.
"""
