"""Each way in which a signature may be wrong, through a whole sync: refused for its own reason, and nothing enters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.settings import Settings
from tests.content import Image
from tests.runs import only, reasons, sync
from tests.servers.fake import FakeRegistry
from tests.servers.sigstore import Sigstore, bundle_image, sig_image
from tests.servers.upstream import Upstream, upstream_server
from tests.trust import test_bundle, test_simple_signing
from tests.trust.conftest import IDENTITY, IMAGE, TAG

PROXY, CONTROLLER = f"cr.l5d.io/linkerd/proxy:{TAG}", f"cr.l5d.io/linkerd/controller:{TAG}"
_FORMS = {"tag": test_simple_signing.WRONG, "bundle": test_bundle.WRONG}
_WRONG = {f"{form}: {name}": (form, *wrong) for form, several in _FORMS.items() for name, wrong in several.items()}


@pytest.fixture
def upstream(sigstore: Sigstore) -> Iterator[Upstream]:
    """A release of two images: the controller is signed as it should be."""
    with upstream_server() as running:
        running.images[PROXY] = IMAGE
        running.publish(TAG)
        digest = running.images[CONTROLLER].digest
        signature = sig_image(sigstore.simple_signing(digest, IDENTITY))
        running.registry.add("linkerd/controller", signature, digest.fallback_tag(".sig"))
        yield running


@pytest.fixture
def settings(upstream: Upstream, sigstore: Sigstore, fake: FakeRegistry, tmp_path: Path) -> Settings:
    """Of the charts that have these images, signatures required."""
    root = tmp_path / "trusted_root.json"
    root.write_text(json.dumps(sigstore.trusted_root()))
    return upstream.settings(
        releases=[TAG],
        charts=["linkerd-crds", "linkerd-control-plane"],
        destinations={"test": {"kind": "registry", "registry": fake.host, "prefix": "l5d"}},
        policy={"signatures": "require", "trusted_root": str(root)},
        overrides={"directory": str(tmp_path / "overrides")},
    )


def _sign(upstream: Upstream, form: str, made: Any) -> None:
    if form == "tag":
        signature: Image = sig_image(made)
        upstream.registry.add("linkerd/proxy", signature, IMAGE.digest.fallback_tag(".sig"))
    else:
        upstream.registry.add("linkerd/proxy", bundle_image(made, IMAGE.manifest))


@pytest.mark.parametrize("wrong", _WRONG)
async def test_nothing_of_it_enters(
    settings: Settings, upstream: Upstream, fake: FakeRegistry, sigstore: Sigstore, foreign: Sigstore, wrong: str
) -> None:
    """Exit code 3 and the reason; no repository, no tag; of its chart no values and no artifact. The rest is there."""
    form, make, reason = _WRONG[wrong]
    _sign(upstream, form, make(sigstore, foreign))
    report = await sync(settings)

    assert 3 == report.exit_code
    assert {CONTROLLER: "copied", PROXY: "refused"} == {image.reference: image.outcome for image in only(report).images}
    assert reason in reasons(only(report))["proxy"]
    assert {"l5d/controller", "l5d/mirror-record", "l5d/charts/linkerd-crds"} == set(fake.repositories)
    assert not [file for file in only(report).overrides if "control-plane" in file]


@pytest.mark.parametrize("form", _FORMS)
async def test_the_good_one_enters(settings: Settings, upstream: Upstream, sigstore: Sigstore, form: str) -> None:
    """Beside which each of the others is wrong."""
    makers: dict[str, Callable[[Sigstore], Any]] = {"tag": test_simple_signing.rightly, "bundle": test_bundle.rightly}
    _sign(upstream, form, makers[form](sigstore))

    assert 0 == (await sync(settings)).exit_code
