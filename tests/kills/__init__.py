"""The program ended, or what it needs taken away, at any moment: what is tagged is whole, and the next run goes on.

    mirror ──► gate ──► source           the gates count requests, and act at one of them
           ──► gate ──► destination

gate      counts and acts
cases     what is done: SIGKILL, SIGTERM, a full disk, a registry restarted, a source that is gone
trial     one case: done, looked at with the oracle of tests.faults, completed by a plain run

`python -m tests.kills` does all of them; some SIGKILLs are tests (tests/e2e/test_kill.py).
"""
