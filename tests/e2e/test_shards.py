"""Eight processes side by side, as a Kubernetes Indexed Job starts them: one is killed, and the mirror is whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Any

from mirror.shard import Shard
from tests import program
from tests.content import image, index
from tests.e2e.whole import broken
from tests.runs import asked
from tests.servers.distribution import Distribution
from tests.servers.fake import Fault, becomes, stalled
from tests.servers.upstream import BASE, Upstream

COUNT = 8
RELEASES = [f"edge-26.8.{number}" for number in range(1, 5)]
DESTINATIONS = ("left", "right")
LARGE = b"a layer that takes a while" * 80_000
VICTIM = "edge-26.8.3"
"""The release with the large layer; both its destinations are one shard's, so that its process is the one to kill."""
_WAIT_S = 30.0


def begin(directory: Path, document: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
    """The program in a directory of its own, as a pod has one."""
    directory.mkdir(exist_ok=True)
    return program.start(directory, document, *arguments, "-o", "json")


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The document of a process that succeeds."""
    with process:
        out, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err
    found: dict[str, Any] = json.loads(out)
    return found


def pairs(documents: Sequence[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each release at each destination is in *documents*."""
    return Counter((one["release"], one["destination"]) for document in documents for one in document["releases"])


def await_half_a_blob(repositories: Path) -> None:
    """Returns when an upload below *repositories* has a part of the large layer, and goes on."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if any(len(BASE) < size < len(LARGE) for size in map(_size, _uploads(repositories))):
            return
        time.sleep(0.02)
    raise AssertionError("no upload is in the middle of the large layer")


def _uploads(repositories: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(repositories):  # goes on where a folder has gone meanwhile
        if "_uploads" in folder and "data" in files:
            yield Path(folder, "data")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_one_of_eight_is_killed(upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> None:
    """In the middle of a blob; run again, as the Job would, it completes its share, and no share is done twice."""
    web = f"cr.l5d.io/linkerd/web:{VICTIM}"
    large = image(BASE, LARGE, platform="linux/amd64")
    upstream.images[web] = index(large, platforms=("linux/amd64",))
    for release in RELEASES:
        upstream.publish(release)
    [layer] = [digest for digest, data in large.blobs.items() if data == LARGE]
    upstream.registry.faults.append(Fault(f"GET /v2/linkerd/web/blobs/{layer}", becomes(stalled(after=1_000_000))))
    document = upstream.document(
        releases=RELEASES,
        destinations={
            name: {"kind": "registry", "registry": open_distribution.host, "prefix": f"{path}/{name}"}
            for name in DESTINATIONS
        },
    )
    once = Counter(product(RELEASES, DESTINATIONS))
    homes = [tmp_path / f"pod-{at}" for at in range(COUNT)]
    shares = [("sync", "--shard", f"{at}/{COUNT}") for at in range(COUNT)]
    [victim] = {at for at, name in product(range(COUNT), DESTINATIONS) if Shard(at, COUNT).takes(VICTIM, name)}

    with ExitStack() as ending:
        processes = [begin(home, document, *share) for home, share in zip(homes, shares, strict=True)]
        for process in processes:
            ending.callback(process.kill)
        await_half_a_blob(open_distribution.root / "docker/registry/v2/repositories" / path)
        processes[victim].send_signal(signal.SIGKILL)
        processes[victim].communicate()
        documents = [said(process) for at, process in enumerate(processes) if at != victim]

    assert -signal.SIGKILL == processes[victim].returncode
    assert [] == broken(open_distribution.url, path)
    again = said(begin(homes[victim], document, *shares[victim]))
    assert f"{victim}/{COUNT}" == again["shard"]
    assert once == pairs([*documents, again])
    assert [] == broken(open_distribution.url, path)
    verified = said(begin(tmp_path / "verify", document, "verify", "--deep"))
    assert once == pairs([verified])
    before = len(asked(open_distribution, path))
    plain = said(begin(tmp_path / "plain", document, "sync"))
    assert {"in_step"} == {one["outcome"] for one in plain["releases"]}
    assert len(RELEASES) * len(DESTINATIONS) == len(plain["releases"])
    requests = asked(open_distribution, path)[before:]
    assert {"HEAD": (4 + 3) * len(plain["releases"]), "GET": len(plain["releases"])} == Counter(
        request.partition(" ")[0] for request in requests
    )
