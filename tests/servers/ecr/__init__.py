"""Amazon ECR in this process: its API, by moto, and its registry, a real docker-registry with ECR's manners before it.

    POST /    AWS's API ──► may this principal? ──► moto, whose lies are mended (api.py)
    /v2/…     a token? ──► may this principal? ──► a repository of moto's? ──► ECR's refusals ──► docker-registry
              (registry.py)
    another port: the layers' bucket, that blobs are redirected to where a test wants it

Both sides agree: repositories, tags and which manifests there are is moto's to say (state.py); docker-registry keeps
the bytes. `Ecr` is what a test sees, sets and takes away, while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.distribution import docker_registry
from tests.servers.ecr.registry import BucketHandler, EcrHandler
from tests.servers.ecr.state import Call, Ecr, EcrError, Tokens
from tests.servers.loopback import serving

__all__ = ["Call", "Ecr", "EcrError", "Tokens", "ecr_server"]


@contextmanager
def ecr_server(directory: Path, *, account: str = "123456789012", region: str = "eu-west-1") -> Iterator[Ecr]:
    """Runs ECR for *account* in *region*, empty at first, with its files in *directory*, which is made.

    moto keeps one state a process for an account and a region: two that run at once need different ones.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with docker_registry(directory / "behind") as behind:
        ecr = Ecr(behind.host, account, region)

        class Front(EcrHandler):
            pass

        class Bucket(BucketHandler):
            pass

        Front.ecr = Bucket.ecr = ecr
        Front.behind = Bucket.behind = behind.host
        with serving(Front) as host, serving(Bucket) as bucket:
            ecr.url, ecr.bucket_url = f"http://{host}", f"http://{bucket}"
            try:
                yield ecr
            finally:
                ecr.backend.reset()
