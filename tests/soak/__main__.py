"""Runs the service for a while, and prints what was measured, as a section of docs/performance.md.

    python -m tests.soak [--minutes 30] [--every 5s] [--seed 1]

The exit code is 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import sys

from tests.soak.trial import Outcome, soaking


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--every", default="5s", help="how often it syncs")
    parser.add_argument("--seed", type=int, default=1, help="what is done to it follows from this")
    arguments = parser.parse_args()
    with soaking(arguments.minutes * 60, arguments.every, arguments.seed, _print) as soak:
        outcome = soak()
    _print("")
    for line in section(outcome, arguments.every):
        _print(line)
    for breach in outcome.breaches:
        _print(f"BROKEN: {breach}")
    sys.exit(1 if outcome.breaches else 0)


def section(outcome: Outcome, every: str) -> list[str]:
    """What was measured, as docs/performance.md has it."""
    memory, before, after = outcome.memory, outcome.before, outcome.after
    done = ", ".join(
        f"{count} × {kind}" for kind, count in sorted(outcome.done.items()) if not kind.startswith("faults")
    )
    rows = [
        ("resident memory, mean of the first quarter", f"{memory.first_quarter / 1024:.1f} MiB"),
        (
            "… of the second, and of the last",
            f"{memory.second_quarter / 1024:.1f}, {memory.last_quarter / 1024:.1f} MiB",
        ),
        ("… its slope over the second half", f"{memory.slope:+.1f} KiB a minute"),
        ("… its peak", f"{memory.peak / 1024:.1f} MiB"),
        ("proportional memory (PSS) at the end", f"{after.pss / 1024:.1f} MiB"),
        ("open files, of them sockets, at rest: after a quarter", f"{before.files}, {before.sockets}"),
        ("… at the end", f"{after.files}, {after.sockets}"),
        ("threads at rest: after a quarter, at the end", f"{before.threads}, {after.threads}"),
        *((f"runs: {kind}", str(count)) for kind, count in sorted(outcome.runs.items())),
        ("images copied, bytes sent", f"{outcome.copied}, {outcome.sent / 1e6:.0f} MB"),
        ("faults met, of how many kinds", f"{outcome.met.total()}, {len(outcome.met)}"),
    ]
    return [
        f"{outcome.seconds / 60:.0f} minutes with a sync every {every} between two real registries (`make soak`).",
        f"Done to it, beside faults: {done}.",
        "",
        "| measured | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
