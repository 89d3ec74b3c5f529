"""Nothing enters a mirror that was not signed by who should have, and what is there is held to its own evidence."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mirror import record as records
from mirror.app import App
from mirror.errors import Refused, SettingsError
from mirror.http.proxies import Proxies
from mirror.oci.content import Digest
from mirror.settings import Policy, Settings
from mirror.trust.keys import KeyPair
from mirror.trust.verdict import Verdict
from mirror.verify import check
from tests.content import Image
from tests.runs import NOW, only, outcomes, plan, reasons, sync, verify
from tests.servers.distribution import Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, refusal
from tests.servers.sigstore import Sigstore, bundle_image, sig_image
from tests.servers.upstream import NEXT, RELEASE, THIRD_PARTY, Upstream, references, two_platforms, upstream_server

CONTROLLER, PROXY, WEB, _ = references()
ISSUER = "https://token.actions.githubusercontent.com"


def identity(release: str = RELEASE) -> str:
    """Who signs *release*."""
    return f"https://github.com/linkerd/linkerd2/.github/workflows/release.yml@refs/tags/{release}"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture
def upstream(sigstore: Sigstore) -> Iterator[Upstream]:
    """A release signed in both forms: the controller and web as cosign 2 does, the proxy as cosign 3."""
    with upstream_server() as running:
        running.publish()
        for reference in (CONTROLLER, WEB):
            tag_signature(running, sigstore, reference)
        bundle(running, sigstore, PROXY)
        yield running


def digest_of(upstream: Upstream, reference: str) -> Digest:
    return upstream.images[reference].digest


def name_of(reference: str) -> str:
    return reference.removeprefix("cr.l5d.io/").partition(":")[0]


def tag_signature(upstream: Upstream, sigstore: Sigstore, reference: str, who: str = "", of: str = "") -> Image:
    """*reference* is signed by *who*, else by who should; the signature is of the image at *of*, if given."""
    signed = digest_of(upstream, of or reference)
    image = sig_image(sigstore.simple_signing(signed, who or identity(reference.rpartition(":")[2])))
    upstream.registry.add(name_of(reference), image, digest_of(upstream, reference).fallback_tag(".sig"))
    return image


def bundle(upstream: Upstream, sigstore: Sigstore, reference: str) -> Image:
    signed = sigstore.bundle(digest_of(upstream, reference), identity(reference.rpartition(":")[2]))
    image = bundle_image(signed, upstream.images[reference].manifest)
    upstream.registry.add(name_of(reference), image)
    return image


def unsign(upstream: Upstream, reference: str) -> None:
    """Nothing refers to *reference* any more."""
    stored = upstream.registry.repositories[name_of(reference)]
    stored.tags.pop(digest_of(upstream, reference).fallback_tag(".sig"), None)


@pytest.fixture
def into(upstream: Upstream, sigstore: Sigstore, tmp_path: Path) -> Any:
    """Settings that sync from *upstream* into a registry, under a policy."""
    root = tmp_path / "trusted_root.json"
    root.write_text(json.dumps(sigstore.trusted_root()))

    def settings(registry: Distribution | FakeRegistry, path: str, **more: Any) -> Settings:
        policy = {"signatures": "require", "trusted_root": str(root), **more.pop("policy", {})}
        return upstream.settings(
            destinations={"test": {"kind": "registry", "registry": registry.host, "prefix": path}},
            overrides={"directory": str(tmp_path / "overrides")},
            policy=policy,
            **more,
        )

    return settings


@pytest.fixture
def settings(into: Any, fake: FakeRegistry, path: str) -> Settings:
    """Into a registry whose requests are known, signatures required."""
    made: Settings = into(fake, path)
    return made


async def recorded(settings: Settings, release: str = RELEASE) -> records.Record:
    async with App(settings, {}, Proxies()) as app:
        found = await records.read(app.mirror().records, release)
    assert found is not None
    return found


async def forge(settings: Settings, **changes: Any) -> None:
    """Somebody who can push to the mirror has the record of the web image say something else."""
    async with App(settings, {}, Proxies()) as app:
        there = app.mirror().records
        found = await records.read(there, RELEASE)
        assert found is not None
        images = tuple(
            records.replace(image, **changes) if image.image.reference == WEB else image for image in found.images
        )
        await records.write(there, records.replace(found, images=images), verified_at=NOW)


async def check_overrides(settings: Settings) -> None:
    """What `mirror overrides` holds the mirror to before it writes anything."""
    async with App(settings, {}, Proxies()) as app:
        await check(app.mirror(), await recorded(settings), app.signatures())


def states(verdicts: Mapping[str, Verdict | None]) -> dict[str, str]:
    return {name: verdict.state if verdict else "" for name, verdict in verdicts.items()}


class TestEntering:
    async def test_what_is_signed_enters(self, settings: Settings, upstream: Upstream) -> None:
        """In either form; the verdict says by whom, and is in the report and in the record."""
        report = await sync(settings)

        assert 0 == report.exit_code
        found = {image.reference: image.verdict for image in only(report).images}
        assert dict.fromkeys((CONTROLLER, PROXY, WEB), "signed") | {THIRD_PARTY: "third party"} == states(found)
        assert {identity()} == {verdict.identity for verdict in found.values() if verdict and verdict.identity}
        assert found == {image.image.reference: image.verdict for image in (await recorded(settings)).images}

    @pytest.mark.parametrize("who", ["nobody", "another", "of another image"])
    async def test_what_is_not_is_refused(
        self, settings: Settings, upstream: Upstream, sigstore: Sigstore, fake: FakeRegistry, path: str, who: str
    ) -> None:
        """By name, with exit code 3; the others enter, and nothing of it is there, not even a repository."""
        unsign(upstream, WEB)
        if who == "another":
            tag_signature(upstream, sigstore, WEB, who=identity("edge-26.7.9"))
        if who == "of another image":
            tag_signature(upstream, sigstore, WEB, of=CONTROLLER)
        report = await sync(settings)

        assert 3 == report.exit_code
        assert {"controller": "copied", "proxy": "copied", "web": "refused", "prometheus": "copied"} == outcomes(
            only(report)
        )
        assert f"{path}/web" not in fake.repositories
        reason = reasons(only(report))["web"]
        assert f"--accept {WEB}@{digest_of(upstream, WEB)}" in reason
        assert ("[[policy.identities]]" in reason) == (who == "another")

    async def test_plan_says_so(self, settings: Settings, upstream: Upstream) -> None:
        """Before anything is written."""
        unsign(upstream, WEB)
        report = await plan(settings)

        assert 3 == report.exit_code
        [refused] = [image for image in report.images if type(image.action).__name__ == "Refuse"]
        assert WEB == refused.reference
        assert "it is not signed" in refused.reason

    async def test_warn_lets_it_in_and_says_so(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """With a word in the report; in step afterwards."""
        unsign(upstream, WEB)
        settings = into(fake, "warned", policy={"signatures": "warn"})
        report = await sync(settings)

        assert 0 == report.exit_code
        assert "it is not signed" in reasons(only(report))["web"]
        assert "in_step" == only(await sync(settings)).outcome

    async def test_a_digest_that_is_accepted(self, settings: Settings, into: Any, upstream: Upstream) -> None:
        """Enters, and the record says that it was accepted: another run is in step.

        `verify` takes the operator's word for it, and not the record's.
        """
        unsign(upstream, WEB)
        accepted = f"{WEB}@{digest_of(upstream, WEB)}"
        report = await sync(settings, accept=[accepted])

        assert 0 == report.exit_code
        image = (await recorded(settings)).image(WEB)
        assert image is not None
        assert image.is_accepted
        assert "in_step" == only(await sync(settings)).outcome
        unsettled = await verify(settings)
        assert 4 == unsettled.exit_code
        [problem] = [problem for each in unsettled.releases[0].images for problem in each.problems]
        assert f'put "{WEB}" = "{digest_of(upstream, WEB)}" into [policy.accept]' in problem
        with pytest.raises(Refused, match=r"\[policy\.accept\]"):
            await check_overrides(settings)
        policy = {**settings.policy.model_dump(), "accept": {WEB: str(digest_of(upstream, WEB))}}
        assert 0 == (await verify(settings.model_copy(update={"policy": Policy.model_validate(policy)}))).exit_code

    async def test_what_cannot_be_read_is_not_taken_for_unsigned(self, settings: Settings, upstream: Upstream) -> None:
        """The world failed, and nobody needs to decide."""
        tag = digest_of(upstream, WEB).fallback_tag(".sig")
        upstream.registry.faults.append(Fault(f"GET .*/manifests/{tag}", refusal(403, "DENIED"), times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert "failed" == outcomes(only(report))["web"]

    async def test_what_cannot_be_read_enters_with_a_word(
        self, into: Any, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """Where nobody requires it; the next run looks again."""
        tag = digest_of(upstream, WEB).fallback_tag(".sig")
        upstream.registry.faults.append(Fault(f"GET .*/manifests/{tag}", refusal(403, "DENIED")))
        settings = into(fake, "warned", policy={"signatures": "warn"})
        report = await sync(settings)
        again = await sync(settings)

        assert 0 == report.exit_code
        assert "its signatures could not be read" in reasons(only(report))["web"]
        assert "adopted" == outcomes(only(again))["web"]
        assert [] == [
            image.verdict.words for image in only(again).images if image.verdict and image.verdict.state == "missing"
        ]

    async def test_with_some_platforms_only(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """The verdict is of upstream's index, and is found again in the mirror."""
        settings = into(fake, "filtered", platforms=["linux/amd64"])
        report = await sync(settings)

        assert 0 == report.exit_code
        [web] = [image for image in only(report).images if image.reference == WEB]
        assert web.verdict is not None
        assert digest_of(upstream, WEB) == web.verdict.subject != web.digest
        assert 0 == (await verify(settings)).exit_code


class TestCost:
    async def test_no_request_beyond_copying_the_evidence(
        self, into: Any, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """What is read to be verified is not read again to be copied."""

        def asked() -> list[tuple[str, str]]:  # a layer that all images have is read from any of them
            return sorted((seen.method, seen.path.rpartition("/")[2]) for seen in upstream.registry.requests)

        await sync(into(fake, "unchecked", policy={"signatures": "off"}))
        unchecked = asked()
        upstream.forget_requests()
        await sync(into(fake, "checked"))

        assert unchecked == asked()

    async def test_with_a_platform_filter_the_record_is_read_whole(
        self, into: Any, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """Once a release, its layer beside its manifest: it keeps the indexes that were signed. Upstream is not."""
        settings = into(fake, "filtered", platforms=["linux/amd64"])
        await sync(settings)
        upstream.forget_requests()
        fake.requests.clear()
        report = await sync(settings)

        assert "in_step" == only(report).outcome
        assert ["HEAD"] * 4 == [seen.method for seen in upstream.registry.requests]
        assert ["GET"] * 3 + ["HEAD"] * 7 == sorted(seen.method for seen in fake.requests)

    async def test_none_in_step(self, settings: Settings, upstream: Upstream, fake: FakeRegistry) -> None:
        """A HEAD of each image at both ends, one of each chart, and a GET of the record."""
        await sync(settings)
        upstream.forget_requests()
        fake.requests.clear()
        report = await sync(settings)

        assert "in_step" == only(report).outcome
        assert ["HEAD"] * 4 == [seen.method for seen in upstream.registry.requests]
        assert ["GET"] + ["HEAD"] * 7 == sorted(seen.method for seen in fake.requests)


class TestAnotherPolicy:
    async def test_what_was_recorded_unchecked_is_judged(
        self, into: Any, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """Once, and refused if need be: the tag stays as it is, and the record is not changed."""
        unsign(upstream, WEB)
        await sync(into(fake, "later", policy={"signatures": "off"}))
        settings = into(fake, "later")
        report = await sync(settings)

        assert 3 == report.exit_code
        assert {"controller": "adopted", "proxy": "adopted", "web": "refused", "prometheus": "adopted"} == outcomes(
            only(report)
        )

    async def test_plan_foresees_it(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """Before the sync that judges, and after it."""
        unsign(upstream, WEB)
        await sync(into(fake, "foreseen", policy={"signatures": "off"}))
        settings = into(fake, "foreseen")

        for expected in ("adopt", "keep"):
            report = await plan(settings)
            actions = {image.reference: type(image.action).__name__.lower() for image in report.images}
            assert 3 == report.exit_code
            assert {CONTROLLER: expected, PROXY: expected, WEB: "refuse", THIRD_PARTY: expected} == {
                reference: actions[reference] for reference in references()
            }
            assert 3 == (await sync(settings)).exit_code

    async def test_upstream_no_longer_has_it(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """It is judged by what the mirror has: a tag that is gone makes nothing signed."""
        unsign(upstream, WEB)
        await sync(into(fake, "gone", policy={"signatures": "off"}))
        for reference in references():
            upstream.remove(reference)
        settings = into(fake, "gone")
        foreseen, report = await plan(settings), only(await sync(settings))

        assert (3, "refused") == (foreseen.exit_code, report.outcome)
        assert {"controller": "kept", "proxy": "kept", "web": "refused", "prometheus": "kept"} == outcomes(report)
        assert reasons(report)["web"].startswith("by the mirror's own evidence it is not signed, and should be")
        assert {"controller": "signed", "proxy": "signed"} == {
            name: state
            for name, state in states({name_of(one.reference)[8:]: one.verdict for one in report.images}).items()
            if name in ("controller", "proxy")
        }
        found = (await verify(settings)).releases[0].images
        assert [WEB] == [image.reference for image in found if image.problems]

    async def test_upstream_cannot_be_asked(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """What the mirror's own evidence does not settle has failed, and not been refused: upstream may have more."""
        unsign(upstream, WEB)
        await sync(into(fake, "down", policy={"signatures": "off"}))
        upstream.registry.faults.append(Fault(".*", refusal(500, "UNKNOWN", "down"), times=ALWAYS))
        settings = into(fake, "down")
        foreseen, report = await plan(settings), only(await sync(settings))

        assert (1, "failed") == (foreseen.exit_code, report.outcome)
        assert {"controller": "kept", "proxy": "kept", "web": "failed", "prometheus": "kept"} == outcomes(report)
        assert "not compared with upstream" in reasons(report)["web"]
        assert "by the mirror's own evidence it is not signed" in reasons(report)["web"]

    async def test_upstream_no_longer_has_it_and_it_is_accepted(
        self, into: Any, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """Then it stays, and the record says why; the next run asks no more."""
        unsign(upstream, WEB)
        await sync(into(fake, "stays", policy={"signatures": "off"}))
        for reference in references():
            upstream.remove(reference)
        settings = into(fake, "stays")
        accepted = await sync(settings, accept=[f"{WEB}@{digest_of(upstream, WEB)}"])
        again = await sync(settings)

        assert [0, 0] == [accepted.exit_code, again.exit_code]
        web = (await recorded(settings)).image(WEB)
        assert web
        assert (True, NOW.isoformat(timespec="seconds")) == (web.is_accepted, web.accepted_at)

    async def test_a_signer_who_is_no_longer_asked_for(self, into: Any, upstream: Upstream, fake: FakeRegistry) -> None:
        """Is not taken at the record's word."""
        await sync(into(fake, "other"))
        other = {"images": "ghcr.io/linkerd/web", "issuer": ISSUER, "identity": "https://example.com/another"}
        report = await sync(into(fake, "other", policy={"identities": [other]}))

        assert 3 == report.exit_code
        assert "refused" == outcomes(only(report))["web"]

    async def test_a_release_that_was_signed_before_linkerd_signed(
        self, settings: Settings, upstream: Upstream
    ) -> None:
        """Is what it is, in words: nobody could have signed it."""
        upstream.publish("edge-22.4.1")
        report = await sync(settings, "edge-22.4.1")

        assert 0 == report.exit_code
        told = {
            image.verdict.words for image in only(report).images if image.verdict and image.reference != THIRD_PARTY
        }
        assert {"unsigned upstream: signing began with edge-22.5.3"} == told


class TestWhatIsThere:
    async def test_is_verified_without_upstream(self, settings: Settings, upstream: Upstream) -> None:
        """By the evidence that travelled; the answer says by whom each image was signed."""
        await sync(settings)
        upstream.forget_requests()
        report = await verify(settings)
        await check_overrides(settings)

        assert 0 == report.exit_code
        assert [] == upstream.registry.requests
        found = {image.reference: image.verdict for image in report.releases[0].images}
        assert dict.fromkeys((CONTROLLER, PROXY, WEB), "signed") | {THIRD_PARTY: "third party"} == states(found)

    async def test_evidence_that_was_taken_away(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry, path: str
    ) -> None:
        """The record's word is not enough."""
        await sync(settings)
        del fake.repositories[f"{path}/web"].tags[digest_of(upstream, WEB).fallback_tag(".sig")]
        report = await verify(settings)

        assert 4 == report.exit_code
        [problem] = [problem for image in report.releases[0].images for problem in image.problems]
        assert "by the mirror's own evidence it is not signed" in problem
        with pytest.raises(Refused, match="it is not signed"):
            await check_overrides(settings)

    @pytest.mark.parametrize("state", ["third party", "unsigned upstream", "uncovered", "not verified", "missing"])
    async def test_a_verdict_that_was_forged(self, settings: Settings, upstream: Upstream, state: Any) -> None:
        """Is found by `verify` and `overrides`, and put right by a sync."""
        await sync(settings)
        await forge(settings, verdict=Verdict(digest_of(upstream, WEB), state, "forged"))

        assert 4 == (await verify(settings)).exit_code
        with pytest.raises(Refused, match="its signature is recorded as"):
            await check_overrides(settings)
        assert {"controller": "kept", "proxy": "kept", "web": "adopted", "prometheus": "kept"} == outcomes(
            only(await sync(settings))
        )
        assert 0 == (await verify(settings)).exit_code

    async def test_an_acceptance_that_was_forged(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry, path: str
    ) -> None:
        """Whoever can push can write that an operator accepted what they pushed: nobody believes it."""
        await sync(settings)
        evil = two_platforms("evil")
        fake.add(f"{path}/web", evil, RELEASE)
        await forge(
            settings, digests=records.Recorded(evil.digest, evil.digest), is_accepted=True, accepted_at="2026-01-01"
        )

        assert 4 == (await verify(settings)).exit_code
        with pytest.raises(Refused):
            await check_overrides(settings)
        assert 3 == (await sync(settings)).exit_code

    async def test_a_digest_that_was_forged(self, settings: Settings, upstream: Upstream) -> None:
        """Somebody pushed their own image and wrote it into the record: it is not what upstream has, nor signed."""
        await sync(settings)
        other = digest_of(upstream, CONTROLLER)
        await forge(settings, digests=records.Recorded(other, other))

        assert 4 == (await verify(settings)).exit_code
        with pytest.raises(Refused):
            await check_overrides(settings)
        assert 3 == (await sync(settings)).exit_code

    @pytest.mark.parametrize("keeps_index", [True, False])
    async def test_an_index_that_no_platform_filter_made(
        self, into: Any, upstream: Upstream, fake: FakeRegistry, *, keeps_index: bool
    ) -> None:
        """A record says that the signed index became it; the signature is good, and of something else.

        A sync puts it right.
        """
        settings = into(fake, "filtered", platforms=["linux/amd64"])
        await sync(settings)
        evil = two_platforms("evil")
        fake.add("filtered/web", evil, RELEASE)
        image = (await recorded(settings)).image(WEB)
        assert image is not None
        await forge(
            settings,
            digests=records.Recorded(digest_of(upstream, WEB), evil.digest),
            evidence=None
            if keeps_index
            else records.Evidence(evil.manifest.media_type, 1, (), (), upstream_index=evil.manifest.raw.decode()),
        )

        told = "does not" if keeps_index else "the record does not keep the index"
        problems = [problem for each in (await verify(settings)).releases[0].images for problem in each.problems]
        assert [told in problem for problem in problems] == [True]
        with pytest.raises(Refused, match=told):
            await check_overrides(settings)
        assert "copied" == outcomes(only(await sync(settings)))["web"]
        assert 0 == (await verify(settings)).exit_code

    async def test_a_signature_that_the_registry_does_not_take(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """Is verified by what the record keeps of it, which is held to the image as any other."""
        [signature] = [
            digest
            for digest, (_, raw) in upstream.registry.repositories[name_of(PROXY)].manifests.items()
            if b"sigstore.bundle" in raw
        ]
        fake.faults.append(
            Fault(f"PUT .*/manifests/{signature}", refusal(405, "UNSUPPORTED", "Invalid JSON syntax"), times=ALWAYS)
        )
        report = await sync(settings)

        assert 0 == report.exit_code
        assert "405" in reasons(only(report))["proxy"]
        assert 0 == (await verify(settings)).exit_code
        await check_overrides(settings)

    async def test_the_next_release_has_its_own_signer(
        self, settings: Settings, upstream: Upstream, sigstore: Sigstore
    ) -> None:
        """A signature of one release is none of another."""
        upstream.publish(NEXT)
        for reference in references(NEXT)[:3]:
            tag_signature(upstream, sigstore, reference, who=identity(RELEASE))
        report = await sync(settings, NEXT)

        assert 3 == report.exit_code
        assert {"controller": "refused", "proxy": "refused", "web": "refused", "prometheus": "copied"} == outcomes(
            only(report)
        )


class TestRecords:
    """That are signed with a key of the operator's own."""

    @pytest.fixture
    def keys(self, tmp_path: Path) -> dict[str, str]:
        """A pair, as `[record]` has it."""
        pair = KeyPair.generate()
        private, public = tmp_path / "record.key", tmp_path / "record.pub"
        private.write_bytes(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(pair.public_pem)
        return {"sign_key_file": str(private), "verify_key_file": str(public)}

    async def test_what_is_signed_is_taken(
        self, into: Any, upstream: Upstream, fake: FakeRegistry, keys: dict[str, str]
    ) -> None:
        """By `sync`, `verify` and `overrides` alike."""
        settings = into(fake, "sealed", record=keys)

        assert 0 == (await sync(settings)).exit_code
        assert "in_step" == only(await sync(settings)).outcome
        assert 0 == (await verify(settings)).exit_code

    async def test_what_was_accepted_is_believed(
        self, into: Any, upstream: Upstream, fake: FakeRegistry, keys: dict[str, str]
    ) -> None:
        """Of a record that the operator signed."""
        unsign(upstream, WEB)
        settings = into(fake, "sealed", record=keys)

        assert 0 == (await sync(settings, accept=[f"{WEB}@{digest_of(upstream, WEB)}"])).exit_code
        assert 0 == (await verify(settings)).exit_code

    async def test_what_is_not_is_refused(
        self, into: Any, upstream: Upstream, fake: FakeRegistry, keys: dict[str, str]
    ) -> None:
        """Whoever pushed it: exit code 3, nothing written, and what to do."""
        await sync(into(fake, "sealed", record=keys))
        await forge(into(fake, "sealed"), verdict=None)  # without the key
        settings = into(fake, "sealed", record=keys)
        fake.requests.clear()
        report, planned = await sync(settings), await plan(settings)

        assert (3, 3) == (report.exit_code, planned.exit_code)
        assert "it is not signed, as record.verify_key_file wants it" in only(report).problem
        assert "remove that tag" in only(report).problem
        assert [] == [seen for seen in fake.requests if seen.method not in ("GET", "HEAD")]
        assert "it is not signed" in (await verify(settings)).releases[0].problem

    @pytest.mark.parametrize("harm", ["another key", "another text", "another layer", "no signature at all"])
    async def test_a_signature_of_something_else(
        self, into: Any, upstream: Upstream, fake: FakeRegistry, keys: dict[str, str], harm: str
    ) -> None:
        """Is none."""
        settings = into(fake, "sealed", record=keys)
        await sync(settings)
        stored = fake.repositories["sealed/mirror-record"]
        media_type, raw = stored.manifests[stored.tags[RELEASE]]
        view = json.loads(raw)
        annotations = view["annotations"]
        match harm:
            case "another key":
                other = KeyPair.generate().sign(annotations[records.ANNOTATION].encode())
                annotations[records.SIGNATURE] = b64encode(other).decode()
            case "another text":
                annotations[records.ANNOTATION] = annotations[records.ANNOTATION].replace("proven", "PROVEN")
            case "another layer":
                other_layer = {**view["config"], "digest": str(Digest.of(b"{}")), "size": 2}
                stored.blobs[Digest.of(b"{}")] = b"{}"
                view |= {"config": other_layer, "layers": [{**other_layer, "mediaType": records.LAYER_TYPE}]}
            case _:
                annotations[records.SIGNATURE] = "not base64"
        changed = json.dumps(view).encode()
        stored.manifests[Digest.of(changed)] = (media_type, changed)
        stored.tags[RELEASE] = Digest.of(changed)

        assert 3 == (await sync(settings)).exit_code
        assert (
            "its signature is not by the key of record.verify_key_file" in (await verify(settings)).releases[0].problem
        )

    @pytest.mark.parametrize(
        ("key", "text", "told"),
        [
            ("sign_key_file", "nonsense", "record.sign_key_file holds no private key"),
            ("verify_key_file", "nonsense", "record.verify_key_file is not a public key in PEM"),
            ("sign_key_file", None, "cannot be read"),
            ("verify_key_file", None, "cannot be read"),
        ],
    )
    async def test_a_key_that_is_none(
        self,
        into: Any,
        upstream: Upstream,
        fake: FakeRegistry,
        keys: dict[str, str],
        tmp_path: Path,
        key: str,
        text: str | None,
        told: str,
    ) -> None:
        """Is the operator's input."""
        await sync(into(fake, "sealed", record=keys))
        if text is not None:
            (tmp_path / "bad").write_text(text)
        path = "sealed" if key == "verify_key_file" else "another"  # where a record is read, and written

        with pytest.raises(SettingsError, match=told):
            await sync(into(fake, path, record=keys | {key: str(tmp_path / "bad")}))
