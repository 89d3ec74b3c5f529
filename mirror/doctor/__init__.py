"""`mirror doctor`: asks whatever a sync will need, and says what is wrong before a sync finds it.

    Doctor ─┬─ configuration, trust, helm, overrides      what is on this machine           machine.py
            ├─ config maps                                would the cluster take them?      kubernetes/publisher.py
            ├─ charts CHANNEL                             the index, the newest release     doctor.py
            ├─ source HOST         reachable ─► TLS, clock, credential, pull, blobs,        registries.py
            │                      referrers, rate limit
            └─ destination NAME    reachable ─► TLS, clock, credential, pull ─► push, referrers, mount
                                   a layout: writable, space                                machine.py
                                   and what its provider finds                              destinations/provider.py

Rules it keeps:
- nothing stays: no tag, no repository; an upload is begun where a repository is, and given up;
- each question is asked by itself, with a deadline: what fails or hangs hides no other; only a host that is not
  reached, and one that refuses who we are, is asked no more.

What an answer means is in diagnosis.py, which is pure.
"""
