"""Tries many seeds: a line for each that breaks a promise, then the faults that were met, and the counts.

    python -m tests.faults --seeds 1000 [--start 0] [--jobs 2]

The exit code is 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.campaign import tried
from tests.faults.plan import KINDS
from tests.faults.trial import Verdict, bench, command


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    arguments = parser.parse_args()
    begin, met, endings, bad = time.monotonic(), Counter[str](), Counter[str](), 0
    seeds = range(arguments.start, arguments.start + arguments.seeds)
    for seed, outcome in tried(bench, seeds, jobs=arguments.jobs):
        verdict = outcome or Verdict(seed, "hung", Counter(), ("it hangs, or has ended its process",))
        met += verdict.met
        endings[verdict.ending] += 1
        bad += bool(verdict.breaches)
        for breach in verdict.breaches:
            _print(f"seed {seed}: {breach}  # {command(seed)}")
    seconds = time.monotonic() - begin
    _print("\nfaults met:")
    for kind in sorted(KINDS, key=lambda kind: -met[kind]):
        _print(f"{met[kind]:8} {kind}")
    _print(f"\n{endings.total()} runs in {seconds:.0f} s, {endings.total() / seconds:.2f} a second:")
    for ending, count in endings.most_common():
        _print(f"{count:8} {ending}{'' if ending == 'in step' else ', then completed by a plain run'}")
    _print(f"{bad:8} broke a promise")
    sys.exit(1 if bad else 0)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
