"""Ends the program, or takes away what it needs, at many moments; the counts of what came of it.

    python -m tests.kills [--kills 200] [--terms 50] [--disks 20] [--restarts 20] [--outages 2] [--jobs 2]
    python -m tests.kills --only SIGTERM --number 7

A full disk needs a mount, and so root. The exit code is 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from typing import get_args

from tests.campaign import tried
from tests.kills.trial import Case, Kind, Outcome, bench

_COUNTS = {"SIGKILL": ("kills", 200), "SIGTERM": ("terms", 50), "full disk": ("disks", 20), "restart": ("restarts", 20)}
_COUNTS["outage"] = ("outages", 2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for kind, (option, count) in _COUNTS.items():
        parser.add_argument(f"--{option}", type=int, default=count, metavar="N", help=f"how many of {kind}")
    parser.add_argument("--only", choices=get_args(Kind), help="one case alone, of this kind")
    parser.add_argument("--number", type=int, default=0, help="which")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    arguments = parser.parse_args()
    cases = [Case(kind, number) for kind in get_args(Kind) for number in range(getattr(arguments, _COUNTS[kind][0]))]
    if arguments.only:
        cases = [Case(arguments.only, arguments.number)]
    if os.geteuid() and (disks := [case for case in cases if case.kind == "full disk"]):
        _print("no full disk is tried: only root may mount a small file system")
        cases = [case for case in cases if case not in disks]
    begin, endings, bad = time.monotonic(), Counter[str](), Counter[str]()
    for case, found in tried(bench, cases, jobs=arguments.jobs):
        outcome = found or Outcome("hung", ("it hangs, or has ended its process",))
        endings[f"{case.kind}: {outcome.ending}"] += 1
        bad[case.kind] += bool(outcome.breaches)
        for breach in outcome.breaches:
            _print(f"{case}: {breach}  # python -m tests.kills --only '{case.kind}' --number {case.number}")
    _print(f"\n{endings.total()} cases in {time.monotonic() - begin:.0f} s:")
    for ending, count in sorted(endings.items()):
        _print(f"{count:8} {ending}")
    for kind in dict.fromkeys(case.kind for case in cases):
        _print(f"{bad[kind]:8} of {kind} broke a promise")
    sys.exit(1 if bad.total() else 0)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
