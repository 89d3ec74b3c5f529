"""The doctor before real servers: each line as it is when all is well, and with what makes it fail."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mirror.destinations.provider import Plain
from mirror.errors import AccessDenied, UnknownRelease
from mirror.findings import DoctorReport, Finding
from mirror.linkerd.release import Release
from mirror.settings import Settings
from mirror.trust.keys import KeyPair
from tests.disks import small_disk
from tests.runs import examine, only, outcomes, sync
from tests.servers.certificates import make_certificates
from tests.servers.distribution import PASSWORD, USERNAME, Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, Harm, answer, becomes, fake_registry, header, refusal
from tests.servers.loopback import Response
from tests.servers.upstream import CHARTS, NEXT, RELEASE, Upstream, references, upstream_server

SOURCE, DESTINATION = "source ghcr.io", "destination test"
CONTROLLER = references()[0]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Docker's configuration would be; no other is seen."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def into(upstream: Upstream, host: str, path: str = "l5d", *, url: str = "", **table: Any) -> Settings:
    """*upstream*, and the registry *host* as the destination `test`; *table* is that host's."""
    settings = {host: {"endpoint": url or f"http://{host}"} | table}
    destination = {"kind": "registry", "registry": host, "prefix": path}
    return upstream.settings(destinations={"test": destination}, registries=settings)


def lines(report: DoctorReport, subject: str) -> dict[str, Finding]:
    """What was found of *subject*, by check; nothing that is wrong lacks what to do."""
    found = [finding for finding in report.findings if finding.subject == subject]
    assert all(finding.remedy for finding in found if finding.state != "ok")
    by_check = {finding.check: finding for finding in found}
    assert len(found) == len(by_check)
    return by_check


def states(report: DoctorReport, subject: str) -> dict[str, str]:
    return {check: finding.state for check, finding in lines(report, subject).items()}


def faults(report: DoctorReport) -> dict[tuple[str, str], Finding]:
    """What failed."""
    return {(finding.subject, finding.check): finding for finding in report.findings if finding.state == "failed"}


def stall(pattern: str) -> Fault:
    """Requests that are never answered to the end."""
    return Fault(pattern, Harm(instead=Response(200, body=b"never sent", stall_after=0)), times=ALWAYS)


class TestHealthy:
    async def test_before_the_first_sync(self, upstream: Upstream, open_distribution: Distribution, path: str) -> None:
        """Nothing failed; whether a push is let in is not tried where it would make a repository."""
        report = await examine(into(upstream, open_distribution.host, path))

        assert {} == faults(report)
        assert 0 == report.exit_code
        source = {"reachable": "ok", "clock": "ok", "credential": "ok", "pull": "ok", "blobs": "ok", "referrers": "ok"}
        assert source == states(report, SOURCE)
        assert source == states(report, "source docker.io")
        here = {"reachable": "ok", "clock": "ok", "credential": "ok", "pull": "ok", "push": "warning"}
        assert here == states(report, DESTINATION)
        assert "nothing is recorded yet" in lines(report, DESTINATION)["pull"].told

    @pytest.mark.parametrize("kind", ["open", "htpasswd", "token"])
    async def test_in_step(
        self,
        upstream: Upstream,
        open_distribution: Distribution,
        htpasswd_distribution: Distribution,
        token_distribution: Distribution,
        kind: str,
        home: Path,
        path: str,
    ) -> None:
        """All is well; nothing that stays was written, by whatever way we are known."""
        (home / "password").write_text(PASSWORD)
        given = {} if kind == "open" else {"username": USERNAME, "password_file": str(home / "password")}
        running = {"open": open_distribution, "htpasswd": htpasswd_distribution, "token": token_distribution}[kind]
        settings = into(upstream, running.host, path, **given)
        await sync(settings)
        before = files(running, path)
        report = await examine(settings)

        wanted = ("reachable", "clock", "credential", "pull", "push", "referrers", "blob mounting")
        assert dict.fromkeys(wanted, "ok") == states(report, DESTINATION)
        found = lines(report, DESTINATION)
        assert f"{running.host}/{path}/mirror-record can be read: 1 release is recorded" == found["pull"].told
        assert "what repositories share is sent once" == found["blob mounting"].told
        assert "it lacks the referrers API" in found["referrers"].told
        taken = "none, and it asks for none" if kind == "open" else f"{USERNAME}, from the configuration: taken"
        assert taken == found["credential"].told
        assert before == files(running, path)
        given_up = [line for line in running.log.read_text().splitlines() if f'"DELETE /v2/{path}/' in line]
        assert ["204"] == [line.split('" ')[1].split()[0] for line in given_up]

    async def test_a_layout(self, upstream: Upstream, tmp_path: Path) -> None:
        """It may be made; nothing is made of it by asking."""
        settings = upstream.settings(destinations={"test": {"kind": "layout", "directory": str(tmp_path / "a/b")}})
        report = await examine(settings)

        assert {"writable": "ok", "space": "ok", "pull": "ok"} == states(report, DESTINATION)
        assert f"{tmp_path}/a/b can be made" == lines(report, DESTINATION)["writable"].told
        assert [] == list(tmp_path.iterdir())
        assert {} == lines(report, "overrides")

    async def test_what_is_recorded_needs_no_charts(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The images are known from the mirror; that charts cannot be read is said."""
        settings = into(upstream, fake.host)
        await sync(settings)
        upstream.charts.files.clear()
        report = await examine(settings)

        assert [("charts edge", "index")] == list(faults(report))
        assert "ok" == states(report, "source docker.io")["pull"]

    @pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "not listed"])
    async def test_what_never_entered(self, upstream: Upstream, fake: FakeRegistry, *, is_listed: bool) -> None:
        """A source of which a sync had nothing is asked all the same, and so are the places its images would go to."""
        settings = into(upstream, fake.host)
        for reference in references()[:-1]:
            upstream.remove(reference)
        assert {"refused", "copied"} == set(outcomes(only(await sync(settings))).values())
        if not is_listed:
            upstream.charts.files.clear()
        fake.requests.clear()
        report = await examine(settings)

        assert f"ghcr.io/linkerd/controller:{RELEASE} is not there" == lines(report, SOURCE)["pull"].told
        assert "ok" == states(report, "source docker.io")["pull"]
        assert fake.asked("GET /v2/l5d/web/.*")
        assert 1 == report.exit_code

    async def test_two_destinations(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """One that is out of reach says nothing of the other."""
        registry = {"kind": "registry", "registry": fake.host, "prefix": "l5d"}
        other = {"kind": "registry", "registry": f"127.0.0.1:{closed_port()}", "prefix": "l5d"}
        report = await examine(upstream.settings(destinations={"test": registry, "other": other}))

        assert [("destination other", "reachable")] == list(faults(report))
        assert {"reachable"} == set(lines(report, "destination other"))
        assert "ok" == states(report, DESTINATION)["pull"]


def files(running: Distribution, path: str) -> set[Path]:
    """What docker-registry has of *path*; of an upload that was given up it keeps, until it expires, the hash."""
    repositories = running.root / "docker/registry/v2/repositories" / path
    return {each for each in repositories.rglob("*") if "_uploads" not in each.parts}


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class TestMachine:
    async def test_no_helm(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Values are not proven."""
        found = lines(await examine(into(upstream, fake.host)), "helm")["version"]

        assert ("warning", "there is none on PATH: values are written, and not proven") == (found.state, found.told)

    @pytest.mark.parametrize(
        ("script", "state", "told"),
        [("echo v3.16.2", "ok", "{} is v3.16.2"), ("echo boom >&2; exit 1", "failed", "{}: Helm failed: boom")],
    )
    async def test_helm(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path, script: str, state: str, told: str
    ) -> None:
        """Its path and its version."""
        program = tmp_path / "helm"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        found = lines(await examine(into(upstream, fake.host), helm=str(program)), "helm")["version"]

        assert (state, told.format(program)) == (found.state, found.told)

    async def test_overrides(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """A directory that cannot be made."""
        (tmp_path / "overrides").write_text("a file")
        settings = into(upstream, fake.host)
        in_the_way = await examine(settings)
        (tmp_path / "overrides").unlink()
        fine = await examine(settings)

        found = faults(in_the_way)["overrides", "writable"]
        assert "nothing can be written to overrides: Not a directory" == found.told
        assert {"writable": "ok"} == states(fine, "overrides")

    async def test_a_layout_that_cannot_be_written(self, upstream: Upstream, tmp_path: Path) -> None:
        """Nothing more is asked of it."""
        (tmp_path / "file").touch()
        directory = str(tmp_path / "file" / "layout")
        report = await examine(upstream.settings(destinations={"test": {"kind": "layout", "directory": directory}}))

        assert {"writable": "failed"} == states(report, DESTINATION)

    async def test_a_disk_that_is_nearly_full(self, upstream: Upstream, tmp_path: Path) -> None:
        """It has no room for a release."""
        with small_disk(tmp_path / "disk", 1024 * 1024):
            destination = {"kind": "layout", "directory": str(tmp_path / "disk" / "layout")}
            report = await examine(upstream.settings(destinations={"test": destination}))

        assert {"writable": "ok", "space": "failed", "pull": "ok"} == states(report, DESTINATION)
        assert "0.0 GB are free; a release of Linkerd takes some 0.5 GB" == lines(report, DESTINATION)["space"].told

    @pytest.mark.parametrize(
        ("identities", "state"),
        [
            ([], "failed"),
            ([{"key": "cosign.pub"}], "ok"),
            ([{"key": "cosign.pub", "transparency_log": True}], "failed"),
            ([{"issuer": "https://issuer.example.com", "identity": "me"}], "failed"),
        ],
        ids=["built in", "key", "key and log", "identity"],
    )
    async def test_a_root_that_cannot_be_had(
        self, upstream: Upstream, home: Path, identities: list[dict[str, Any]], state: str
    ) -> None:
        """It has failed where a sync would need it: not where images are signed with a key alone."""
        (home / "cosign.pub").write_bytes(KeyPair.generate().public_pem)
        policy = {
            "signatures": "require",
            "trusted_root": "absent.json",
            "identities": [{"images": "ghcr.io/linkerd/*", **signer} for signer in identities],
        }
        report = await examine(upstream.settings(policy=policy))

        assert {"signatures": "ok", "root": state} == states(report, "trust")

    async def test_what_was_read(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The file, and what was ignored of the environment."""
        parts = {"configuration": Path("mirror.toml"), "warnings": ["MIRROR_SNYC is no variable of mirror's"]}
        found = lines(await examine(into(upstream, fake.host), **parts), "configuration")

        assert "mirror.toml holds" == found["file"].told
        assert ("warning", "MIRROR_SNYC is no variable of mirror's") == (
            found["environment"].state,
            found["environment"].told,
        )


class TestCharts:
    async def test_an_index(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """How many releases it has, and which is the newest."""
        upstream.publish(NEXT)
        found = lines(await examine(into(upstream, fake.host)), "charts edge")

        assert {"index": "ok"} == {check: finding.state for check, finding in found.items()}
        told = f"{upstream.charts.url}/ lists 2 releases, the newest {NEXT}; its index has no ETag"
        assert found["index"].told.startswith(told)

    async def test_a_repository_out_of_reach(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The rest is looked at all the same: Linkerd's own registry stands for its images."""
        edge = {"chart_repository": f"http://127.0.0.1:{closed_port()}/charts"}
        settings = Settings.model_validate(upstream.document(releases=["edge"], channels={"edge": edge}))
        destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d"}
        settings = Settings.model_validate(
            upstream.document(releases=["edge"], channels={"edge": edge}, destinations={"test": destination})
        )
        report = await examine(settings)

        assert [("charts edge", "reachable")] == list(faults(report))
        assert "connection refused" in faults(report)["charts edge", "reachable"].told
        assert "channels.edge.chart_repository" in faults(report)["charts edge", "reachable"].remedy
        assert {"reachable": "ok", "clock": "ok", "credential": "ok"} == states(report, SOURCE)
        assert "ok" == states(report, DESTINATION)["pull"]

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (None, "not found (404: no such file)"),
            (b"entries: [", "charts/index.yaml"),
            (b"entries: {}", "lists no release of edge"),
        ],
    )
    async def test_what_is_no_index(
        self, upstream: Upstream, fake: FakeRegistry, content: bytes | None, told: str
    ) -> None:
        """It is said in what way."""
        upstream.charts.files.pop("index.yaml")
        if content is not None:
            upstream.charts.files["index.yaml"] = content
        found = faults(await examine(into(upstream, fake.host), "edge"))["charts edge", "index"]

        assert told in found.told
        assert "channels.edge.chart_repository" in found.remedy

    async def test_charts_that_cannot_be_read(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The index is right, an archive is not there."""
        upstream.charts.files = {"index.yaml": upstream.charts.files["index.yaml"]}
        report = await examine(into(upstream, fake.host))

        assert {"index": "ok", "charts": "failed"} == states(report, "charts edge")
        assert "404" in lines(report, "charts edge")["charts"].told

    async def test_a_release_that_there_is_not(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The operator's input is wrong."""
        with pytest.raises(UnknownRelease, match=RELEASE):
            await examine(into(upstream, fake.host), NEXT)

    async def test_one_of_several_that_there_is_not(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """It is named, and nothing is said of what is recorded and no longer listed."""
        settings = into(upstream, fake.host)
        wrong = await examine(settings, RELEASE, NEXT)
        upstream.publish(NEXT)
        await sync(settings, NEXT)
        upstream.charts.files["index.yaml"] = upstream.charts.files["index.yaml"].replace(NEXT.encode(), b"edge-26.8.3")
        recorded = await examine(settings, RELEASE, NEXT)

        assert f"has no {NEXT}: the nearest it has are {RELEASE}" in faults(wrong)["charts edge", "release"].told
        assert ("charts edge", "release") not in faults(recorded)

    async def test_a_version_of_the_project(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Where linkerd.io cannot be asked which release it is, our copy says so, with a warning."""
        release = Release.parse("edge-25.10.7")
        upstream.publish(str(release))
        report = await examine(into(upstream, fake.host), "2.19")
        upstream.charts.files["versions.yaml"] = VERSIONS
        fine = await examine(into(upstream, fake.host), "2.19")

        assert {"versions": "warning"} == states(report, "charts")
        assert {"versions": "ok"} == states(fine, "charts")
        assert f"ghcr.io/linkerd/controller:{release} can be read" == lines(report, SOURCE)["pull"].told


VERSIONS = b"""
- version: "2.19"
  edge: edge-25.10.7
  releaseDate: October 31, 2025
"""


class TestSources:
    async def test_an_image_that_is_not_there(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """By its name."""
        upstream.remove(CONTROLLER)
        found = faults(await examine(into(upstream, fake.host)))

        assert [(SOURCE, "pull")] == list(found)
        assert f"ghcr.io/linkerd/controller:{RELEASE} is not there" == found[SOURCE, "pull"].told

    async def test_blobs_that_cannot_be_read(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """As where a firewall knows ghcr.io, and not where its blobs are."""
        upstream.registry.manners.blobs_at = f"http://127.0.0.1:{closed_port()}"
        found = faults(await examine(into(upstream, fake.host)))

        assert {(SOURCE, "blobs"), ("source docker.io", "blobs")} == set(found)
        assert f"{upstream.registry.manners.blobs_at.removeprefix('http://')} cannot be reached" in (
            found[SOURCE, "blobs"].told
        )

    async def test_a_stale_login(self, upstream: Upstream, fake: FakeRegistry, home: Path) -> None:
        """It is read without it: a warning, which says where the credential is kept."""
        upstream.registry.manners.auth = "bearer"
        docker_login(home, "ghcr.io", "me", "stale")
        report = await examine(into(upstream, fake.host))

        found = lines(report, SOURCE)
        assert {} == faults(report)
        assert "warning" == found["credential"].state
        assert f"me, from {home}/.docker/config.json: ghcr.io refused the credential of me (403)" in (
            found["credential"].told
        )
        assert "docker login ghcr.io" in found["credential"].remedy
        assert ("warning", "but not with the credential of me") == (
            found["pull"].state,
            found["pull"].told.partition("can be read, ")[2],
        )
        assert "none: it is read without one" == lines(report, "source docker.io")["credential"].told

    async def test_what_is_private(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Without a credential it cannot be read."""
        upstream.registry.manners.auth, upstream.registry.manners.anonymous_pulls = "bearer", False
        found = faults(await examine(into(upstream, fake.host)))

        assert "gave no token without a credential" in found[SOURCE, "pull"].told
        assert "give a credential, and configure it, the right to pull from ghcr.io/linkerd/controller" == (
            found[SOURCE, "pull"].remedy
        )

    @pytest.mark.parametrize(
        ("remaining", "state"), [("76;w=21600", "ok"), ("3;w=21600", "warning"), ("0;w=21600", "failed")]
    )
    async def test_docker_hubs_limit(self, upstream: Upstream, fake: FakeRegistry, remaining: str, state: str) -> None:
        """What is left of it is said with a manifest."""
        said = header(ratelimit_limit="100;w=21600", ratelimit_remaining=remaining)
        upstream.registry.faults.append(Fault("(HEAD|GET) /v2/prom/prometheus/.*", becomes(said), times=ALWAYS))
        report = await examine(into(upstream, fake.host))

        found = lines(report, "source docker.io")["rate limit"]
        assert (state, f"pulls left: {remaining.partition(';')[0]} of 100 in 6h") == (found.state, found.told)
        assert "rate limit" not in lines(report, SOURCE) | lines(report, DESTINATION)

    async def test_a_destinations_limit(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """As of a mirror in Docker Hub."""
        settings = into(upstream, fake.host)
        await sync(settings)
        fake.faults.append(Fault("GET /v2/.+/manifests/.*", becomes(header(ratelimit_remaining="0")), times=ALWAYS))

        assert "failed" == states(await examine(settings), DESTINATION)["rate limit"]

    async def test_too_many_requests_now(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """The first answer is taken as it is: nothing is tried again."""
        upstream.registry.faults.append(Fault("GET /v2/", answer(429)))
        found = faults(await examine(into(upstream, fake.host)))

        assert [429] == [429 for (_, check) in found if check == "rate limit"]
        assert 1 == len([each for each in found.values() if "429" in each.told])

    async def test_a_host_that_nobody_named(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Charts do not choose where we connect: the line says how to let it."""
        upstream.publish(
            RELEASE,
            viz_templates={"templates/x.yaml": "image: evil.example.com/x/y:v1\n"},
        )
        found = faults(await examine(into(upstream, fake.host)))

        assert "evil.example.com is named by a chart and by nothing else" in (
            found["source evil.example.com", "reachable"].told
        )
        assert '[registries."evil.example.com"]' in found["source evil.example.com", "reachable"].remedy


def docker_login(home: Path, host: str, username: str, password: str) -> None:
    import base64
    import json

    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


class TestHosts:
    """What holds for every registry; it is made to happen to the destination."""

    async def test_out_of_reach(self, upstream: Upstream) -> None:
        """Nothing more is asked of it."""
        host = f"127.0.0.1:{closed_port()}"
        report = await examine(into(upstream, host))

        found = lines(report, DESTINATION)
        assert ["reachable"] == list(found)
        assert f"{host} cannot be reached: connection refused" == found["reachable"].told
        assert f'registries."{host}".endpoint' in found["reachable"].remedy
        assert "ok" == states(report, SOURCE)["pull"]

    async def test_one_that_hangs(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """It costs the deadline and no more, and hides nothing."""
        fake.faults.append(stall("GET .*"))
        begin = time.monotonic()
        report = await examine(into(upstream, fake.host), deadline_s=0.5)

        assert time.monotonic() - begin < 20  # a stalled read ends after 30 s
        assert {(DESTINATION, "reachable")} == set(faults(report))
        assert f"{fake.host} did not answer within 0.5 s" == lines(report, DESTINATION)["reachable"].told

    async def test_one_that_hangs_later(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Each question has its own deadline."""
        settings = into(upstream, fake.host)
        await sync(settings)
        fake.faults.append(stall("POST .*"))
        begin = time.monotonic()
        report = await examine(settings, deadline_s=0.5)

        assert time.monotonic() - begin < 20
        assert {(DESTINATION, "push")} == set(faults(report))
        assert "mirror-record did not answer within 0.5 s" in lines(report, DESTINATION)["push"].told
        assert "ok" == states(report, DESTINATION)["referrers"]

    @pytest.mark.parametrize(("status", "state"), [(404, "warning"), (503, "failed")])
    async def test_what_is_no_registry(self, upstream: Upstream, fake: FakeRegistry, status: int, state: str) -> None:
        """By what it answers."""
        fake.faults.append(Fault("GET /v2/", answer(status)))
        report = await examine(into(upstream, fake.host))

        assert state == states(report, DESTINATION)["reachable"]
        assert f"answers with {status}" in lines(report, DESTINATION)["reachable"].told

    @pytest.mark.parametrize(
        ("date", "words"),
        [("Sun, 02 Aug 2020 12:00:00 GMT", "ahead of it"), ("Sun, 02 Aug 2099 12:00:00 GMT", "behind it")],
    )
    async def test_a_clock_that_is_off(self, upstream: Upstream, fake: FakeRegistry, date: str, words: str) -> None:
        """Tokens and signatures would be refused without a word of why."""
        fake.faults.append(Fault("GET /v2/", becomes(header(Date=date)), times=ALWAYS))
        found = faults(await examine(into(upstream, fake.host)))

        assert [(DESTINATION, "clock")] == list(found)
        assert words in found[DESTINATION, "clock"].told
        assert "NTP" in found[DESTINATION, "clock"].remedy

    async def test_an_authority_that_is_unknown(self, upstream: Upstream, tls_distribution: Distribution) -> None:
        """The line says how to name one's own."""
        report = await examine(into(upstream, tls_distribution.host, url=tls_distribution.url))

        found = lines(report, DESTINATION)
        assert ["TLS"] == list(found)
        assert f"the certificate of {tls_distribution.host} is not trusted: unable to get local issuer certificate" == (
            found["TLS"].told
        )
        assert f'registries."{tls_distribution.host}".ca_file = ' in found["TLS"].remedy
        assert 1 == report.exit_code

    @pytest.mark.parametrize(
        ("days", "state", "words"),
        [
            (90, "ok", "its certificate is trusted, until"),
            (3, "warning", "2 days more"),
            (-1, "failed", "is not trusted: certificate has expired"),
        ],
    )
    async def test_how_long_a_certificate_holds(
        self, upstream: Upstream, tmp_path: Path, days: int, state: str, words: str
    ) -> None:
        """For long, not for long, no longer."""
        made = make_certificates(tmp_path, days=days)
        with fake_registry(certificates=made) as secure:
            settings = into(upstream, secure.host, url=secure.url, ca_file=str(made.authority))
            found = lines(await examine(settings), DESTINATION)["TLS"]

        assert state == found.state
        assert words in found.told

    async def test_an_address_of_loopback_needs_no_tls(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Nobody is on the way."""
        assert "TLS" not in lines(await examine(into(upstream, fake.host)), DESTINATION)


class TestDestinations:
    async def test_no_credential(self, upstream: Upstream, htpasswd_distribution: Distribution) -> None:
        """It is said where one is put; nothing more is asked."""
        report = await examine(into(upstream, htpasswd_distribution.host))

        found = lines(report, DESTINATION)
        assert {"reachable": "ok", "clock": "ok", "credential": "failed"} == states(report, DESTINATION)
        assert f"{htpasswd_distribution.host} asks for a credential, and there is none" == found["credential"].told
        assert f"docker login {htpasswd_distribution.host}" in found["credential"].remedy

    async def test_tls_asked_by_plain_http(self, upstream: Upstream, tls_distribution: Distribution) -> None:
        """It is no registry, so asked, and what it says leads to the key that puts it right."""
        host = tls_distribution.host
        report = await examine(into(upstream, host))

        found = lines(report, DESTINATION)
        assert {"reachable": "warning", "credential": "ok", "pull": "failed"} == states(report, DESTINATION)
        assert "as no registry does" in found["reachable"].told
        assert found["pull"].told.endswith(f'give registries."{host}".endpoint = "https://{host}"')

    @pytest.mark.parametrize("kind", ["htpasswd", "token"])
    async def test_a_credential_that_is_refused(
        self,
        upstream: Upstream,
        htpasswd_distribution: Distribution,
        token_distribution: Distribution,
        kind: str,
        home: Path,
    ) -> None:
        """Whose it is, and where it is kept."""
        host = {"htpasswd": htpasswd_distribution, "token": token_distribution}[kind].host
        (home / "password").write_text("h0pe")
        settings = into(upstream, host, username="me", password_file=str(home / "password"))
        report = await examine(settings)

        found = faults(report)[DESTINATION, "credential"]
        assert found.told.startswith("me, from the configuration: ")
        assert "401" in found.told
        assert "h0pe" not in str(report)

    async def test_a_password_that_cannot_be_read(self, upstream: Upstream, fake: FakeRegistry, home: Path) -> None:
        """It is a finding, and no end of the examination."""
        settings = into(upstream, fake.host, username="me", password_file=str(home / "nowhere"))
        fake.manners.auth = "basic"
        report = await examine(settings)

        found = faults(report)[DESTINATION, "credential"]
        assert f"password_file {home}/nowhere cannot be read: No such file or directory" == found.told

    async def test_no_right_to_push(self, upstream: Upstream, fake: FakeRegistry, home: Path) -> None:
        """The right that is missing is named, and who lacks it."""
        (home / "password").write_text("right")
        settings = into(upstream, fake.host, username="me", password_file=str(home / "password"))
        await sync(settings)
        fake.manners.auth, fake.manners.username, fake.manners.password = "bearer", "me", "right"
        fake.faults.append(Fault("POST .*", refusal(403, "DENIED", "you may only read"), times=ALWAYS))
        report = await examine(settings)

        assert [(DESTINATION, "push")] == list(faults(report))
        found = faults(report)[DESTINATION, "push"]
        assert "403: DENIED you may only read" in found.told
        assert f"give me the right to push to {fake.host}/l5d/mirror-record" == found.remedy
        assert "blob mounting" not in lines(report, DESTINATION)

    async def test_no_right_to_read(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Tags are listed to see what is recorded."""
        fake.faults.append(Fault("GET /v2/.+/tags/.*", refusal(403, "DENIED"), times=ALWAYS))
        report = await examine(into(upstream, fake.host))

        assert [(DESTINATION, "pull")] == list(faults(report))
        assert "push" not in lines(report, DESTINATION)

    async def test_a_registry_that_mounts_nothing(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Its answer to a mount is an upload, which is given up."""
        settings = into(upstream, fake.host)
        await sync(settings)
        fake.uploads.clear()
        fake.manners.mounts = False
        report = await examine(settings)

        assert "each repository is sent its own: nothing is mounted" == lines(report, DESTINATION)["blob mounting"].told
        assert {} == fake.uploads

    async def test_repositories_that_are_made_beforehand(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """An upload can be tried in one that is empty."""
        from tests.servers.fake import Stored

        fake.repositories["l5d/web"] = Stored()
        found = lines(await examine(into(upstream, fake.host)), DESTINATION)

        assert f"an upload to {fake.host}/l5d/web was begun, and given up" == found["push"].told
        assert {"l5d/web"} == set(fake.repositories)

    async def test_the_referrers_api(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Where there is one."""
        settings = into(upstream, fake.host)
        await sync(settings)

        found = lines(await examine(settings), DESTINATION)["referrers"]
        assert "signatures are found by the referrers API" == found.told


class Examined(Plain):
    """A provider that finds something, does something, or cannot."""

    def __init__(self, problem: str = "") -> None:
        self.asked: list[set[str]] = []
        self.problem = problem

    async def examine(self, paths: Collection[str]) -> tuple[Finding, ...]:
        self.asked.append(set(paths))
        if self.problem:
            raise AccessDenied(self.problem)
        return (Finding(DESTINATION, "project", "ok", "it is there"),)

    async def repair(self, paths: Collection[str]) -> tuple[Finding, ...]:
        self.asked.append(set(paths))
        if self.problem:
            raise AccessDenied(self.problem)
        return (Finding(DESTINATION, "project", "ok", "it was made"),)


class TestProviders:
    async def test_what_it_finds(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Is beside what holds for every registry; it is asked about every repository, the record's too."""
        report = await examine(into(upstream, fake.host), provider=(provider := Examined()))

        names = ("controller", "mirror-record", "prometheus", "proxy", "web", *(f"charts/{chart}" for chart in CHARTS))
        assert [{f"l5d/{name}" for name in names}] == provider.asked
        assert "it is there" == lines(report, DESTINATION)["project"].told
        assert "ok" == states(report, DESTINATION)["pull"]

    async def test_where_it_cannot(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """It says why, and hides nothing."""
        report = await examine(into(upstream, fake.host), provider=Examined("not with this role"))

        assert [(DESTINATION, "provider")] == list(faults(report))
        assert "ok" == states(report, DESTINATION)["pull"]

    async def test_a_host_out_of_reach(self, upstream: Upstream) -> None:
        """Its provider may have another, and is asked."""
        report = await examine(into(upstream, f"127.0.0.1:{closed_port()}"), provider=Examined())

        assert {"reachable": "failed", "project": "ok"} == states(report, DESTINATION)

    async def test_what_it_repairs(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Is told, before it is looked at."""
        report = await examine(into(upstream, fake.host), provider=(provider := Examined()), fix=True)

        assert ["it was made"] == [finding.told for finding in report.repaired]
        assert provider.asked[0] == provider.asked[1]

    async def test_what_it_cannot_repair(self, upstream: Upstream, fake: FakeRegistry) -> None:
        """Exit code 1."""
        report = await examine(into(upstream, fake.host), provider=Examined("not with this role"), fix=True)

        assert ["failed"] == [finding.state for finding in report.repaired]
        assert 1 == report.exit_code
