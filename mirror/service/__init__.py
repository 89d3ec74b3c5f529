"""`mirror serve`: the engine on a schedule, and what it did, shown.

    schedule.Timetable ─┐
    SIGHUP, the start ──┴─► Bell ─► Loop ─► App ─► Syncer, verify ─► reports
                                     │
                                     ▼
                                  Ledger ─► status ─► web: page, JSON, overrides
                                     └────────────► metrics

One loop does the work, so that runs never overlap; whoever wants work rings, and rings that were not heard yet are one.
The ledger is what is known: only the loop writes it, everything else reads it. Nothing that answers HTTP changes
anything.
"""
