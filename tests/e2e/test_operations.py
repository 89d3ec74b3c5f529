"""docs/operations.md: its alerts, commands, paths and links are there, and what it says of disasters is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mirror.demo.release import RELEASE as SIGNED_RELEASE
from mirror.demo.upstream import Upstream as SignedUpstream
from mirror.settings import Settings
from mirror.trust.keys import KeyPair
from tests.documents import blocks, headings, mentioned, missing_links, unknown_options
from tests.e2e.whole import look_at
from tests.program import PROJECT
from tests.runs import asked, only, outcomes, sync, verify
from tests.servers.distribution import Distribution
from tests.servers.upstream import RELEASE, Upstream

DOCUMENT = PROJECT / "docs" / "operations.md"
TEXT = DOCUMENT.read_text()


class TestDocument:
    def test_every_alert_has_its_heading(self) -> None:
        """Where its runbook_url leads, in lower case; and no heading is of an alert that is no more."""
        rules = yaml.safe_load((PROJECT / "helm/mirror/files/alerts.yaml").read_text())
        alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
        section = TEXT.partition("\n## Alerts\n")[2].partition("\n## ")[0]

        assert sorted(alerts) == sorted(re.findall(r"^### (\w+)$", section, re.MULTILINE))
        assert {alert.lower() for alert in alerts} <= set(headings(TEXT))

    @pytest.mark.parametrize("command", mentioned(TEXT))
    def test_its_options_exist(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Of every command that it names."""
        assert [] == unknown_options(command, capsys)

    def test_its_links(self) -> None:
        """Every file and every heading is there."""
        assert [] == missing_links(DOCUMENT)

    def test_its_paths(self) -> None:
        """As its links."""
        paths = re.findall(r"`((?:docs|helm|mirror|tests)/[\w./-]+)`", TEXT)

        assert paths
        assert [] == [path for path in paths if not (PROJECT / path).exists()]

    def test_what_deletes(self) -> None:
        """To be rid of a release it names the command that deletes."""
        section = TEXT.partition("\n### A release was revoked\n")[2].partition("\n### ")[0]

        assert "`mirror prune --yes`" in section

    @pytest.mark.parametrize("block", blocks(TEXT, "toml"))
    def test_its_configurations(self, block: str) -> None:
        """Every key is known, every value is right."""
        Settings.model_validate(tomllib.loads(block))

    @pytest.mark.parametrize("block", blocks(TEXT, "yaml"))
    def test_its_values(self, block: str) -> None:
        """They are YAML."""
        assert isinstance(yaml.safe_load(block), dict)

    def test_its_keys(self) -> None:
        """Every key of the configuration that it names in backquotes is one."""
        keys = re.findall(r"`((?:schedule|overrides|policy|record|server)\.\w+)", TEXT)
        fields = {
            f"{table}.{key}"
            for table, field in Settings.model_fields.items()
            for key in getattr(field.annotation, "model_fields", {})
        }

        assert keys
        assert [] == [key for key in keys if key not in fields]


class TestDisaster:
    async def test_from_another_mirror(self, open_distribution: Distribution, path: str, tmp_path: Path) -> None:
        """With GHCR gone, and its signatures required: the configuration that the document shows brings it all back."""
        with SignedUpstream() as upstream:
            (tmp_path / "cosign.pub").write_bytes(upstream.release.public_key)
            identity = {"images": "cr.l5d.io/linkerd/*", "key": str(tmp_path / "cosign.pub")}
            document: dict[str, Any] = {
                **upstream.configuration,
                "releases": [SIGNED_RELEASE],
                "policy": {"identities": [identity]},
                "overrides": {"directory": ""},
            }

            def into(prefix: str, **more: Any) -> Settings:
                place = {"kind": "registry", "registry": open_distribution.host, "prefix": f"{path}/{prefix}"}
                return Settings.model_validate(document | {"destinations": {"test": place}} | more)

            first = only(await sync(into("other")))
            [shown] = [block for block in blocks(TEXT, "toml") if "other.example.com" in block]
            aliases = tomllib.loads(
                shown.replace("other.example.com/linkerd", f"{open_distribution.host}/{path}/other")
            )
            gone = {host: {"endpoint": "http://127.0.0.1:1"} for host in document["registries"]}
            new = into("new", registries=gone | aliases["registries"])
            second = only(await sync(new))

        assert {"copied"} == {image.outcome for image in (*first.images, *second.images)}, second
        digests = [{image.reference: image.digest for image in report.images} for report in (first, second)]
        assert digests[0] == digests[1]
        assert 0 == (await verify(new, deep=True)).exit_code

    async def test_another_key_for_records(
        self, upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
    ) -> None:
        """Old records are refused; once their tags are removed, all is found and recorded anew, and no blob is sent."""

        def settings(name: str) -> Settings:
            pair = KeyPair.generate()
            private, public = tmp_path / f"{name}.key", tmp_path / f"{name}.pub"
            private.write_bytes(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            public.write_bytes(pair.public_pem)
            return upstream.settings(
                record={"sign_key_file": str(private), "verify_key_file": str(public)},
                destinations={"test": {"kind": "registry", "registry": open_distribution.host, "prefix": path}},
                overrides={"directory": ""},
            )

        await sync(settings("old"))
        new = settings("new")
        refused = only(await sync(new))
        with look_at(open_distribution.url) as client:
            record = f"/v2/{path}/mirror-record/manifests"
            accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
            digest = client.head(f"{record}/{RELEASE}", headers=accept).headers["docker-content-digest"]
            assert 202 == client.delete(f"{record}/{digest}").status_code
        before = len(asked(open_distribution, path))
        found = only(await sync(new))

        assert "refused" == refused.outcome
        assert "is not by the key of record.verify_key_file" in refused.problem
        assert {"adopted"} == set(outcomes(found).values())
        sent = [request for request in asked(open_distribution, path)[before:] if request.startswith(("PATCH", "PUT"))]
        assert all("/mirror-record/" in request for request in sent), sent
        assert 0 == (await verify(new)).exit_code
