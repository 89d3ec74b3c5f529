"""`mirror sync`: what it prints, its exit codes, and one sentence for everything that can go wrong."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.oci.layout import Layout
from tests.cli.conftest import Desk
from tests.disks import small_disk
from tests.servers.distribution import PASSWORD, USERNAME, Distribution
from tests.servers.fake import ALWAYS, Fault, Manners, answer, becomes, corrupt, stalled
from tests.servers.upstream import CHARTS, NEXT, RELEASE, references, two_platforms

WEB = references()[2]


class TestAnswers:
    def test_a_table(self, desk: Desk) -> None:
        """What became of each image, and one line for the release."""
        said = desk.run("sync", RELEASE, "--to", "oci:out")

        assert 0 == said.code
        assert ["OUTCOME", "TARGET", "DIGEST", "SENT"] == said.out.splitlines()[0].split()
        assert f"oci:out:web:{RELEASE}" in said.out
        assert f"{RELEASE} at oci-out: brought in step: 4 copied" in said.out

    def test_again(self, desk: Desk) -> None:
        """In step: one line says so."""
        desk.run("sync", "--to", "oci:out")
        said = desk.run("sync", "--to", "oci:out")

        assert 0 == said.code
        assert f"{RELEASE} at oci-out: in step, 4 images, 3 charts" in said.out
        assert "OUTCOME" not in said.out

    def test_json(self, desk: Desk, open_distribution: Distribution, path: str) -> None:
        """The contract's keys, and nothing else on stdout."""
        said = desk.run("sync", "--to", f"{open_distribution.host}/{path}", "-o", "json")

        assert 0 == said.code
        [release] = said.document["releases"]
        assert (1, RELEASE, "synced") == (said.document["schema"], release["release"], release["outcome"])
        assert references() == sorted(image["reference"] for image in release["images"])
        keys = {"reference", "target", "outcome", "digest", "bytes", "seconds", "reason"}
        assert all(keys <= image.keys() for image in release["images"])
        assert "not proven" == release["proof"]
        assert [f"{chart}.yaml" for chart in CHARTS] == [Path(file).name for file in release["overrides"]]
        assert all(Path(file).is_file() for file in release["overrides"])

    def test_channels(self, desk: Desk) -> None:
        """The newest, or the newest several."""
        desk.upstream.publish(NEXT)
        newest = desk.run("sync", "edge", "--to", "oci:out", "-o", "json")
        both = desk.run("sync", "edge:2", "--to", "oci:out", "-o", "json")

        assert [NEXT] == [release["release"] for release in newest.document["releases"]]
        outcomes = {release["release"]: release["outcome"] for release in both.document["releases"]}
        assert {NEXT: "in_step", RELEASE: "synced"} == outcomes

    def test_without_a_configuration_it_goes_to_a_layout(self, desk: Desk) -> None:
        """./linkerd-mirror, and why there are no values."""
        said = desk.run("sync")

        assert 0 == said.code
        assert (desk.directory / "linkerd-mirror" / "oci-layout").is_file()
        assert "pull_registry" in said.out

    def test_a_refusal(self, desk: Desk) -> None:
        """Exit code 3; the option that settles it is printed, and works for the command that was refused."""
        desk.run("sync", "--to", "oci:out")
        desk.upstream.put(WEB, two_platforms("moved"))
        refused = desk.run("sync", "--to", "oci:out")
        command = f"--accept {WEB}@{desk.upstream.images[WEB].digest}"
        settled = desk.run("sync", "--to", "oci:out", *command.split())

        assert 3 == refused.code
        assert f"; to settle it: {command} or --accept " in refused.out
        assert 0 == settled.code
        assert 0 == desk.run("sync", "--to", "oci:out").code

    def test_an_acceptance_of_what_is_not_asked_for(self, desk: Desk) -> None:
        """It settles nothing, so nothing is done; what may have been meant is named. Accepting twice is no mistake."""
        here = f"{WEB}@{desk.upstream.images[WEB].digest}"
        another = here.replace(RELEASE, "edge-26.8.9")
        wrong = desk.run("sync", "--to", "oci:out", "--accept", another)
        nothing = list(desk.directory.glob("out"))
        right = [desk.run("sync", "--to", "oci:out", "--accept", here).code for _ in range(2)]

        assert 2 == wrong.code
        named = another.partition("@")[0]
        assert [f"--accept {named}: no release that is asked for has it; did you mean {WEB}?"] == wrong.sentences
        assert [] == nothing
        assert [0, 0] == right

    def test_what_cannot_be_known_is_no_mistake(self, desk: Desk) -> None:
        """As of other shards."""
        desk.upstream.publish(NEXT)
        accepted = f"{WEB}@{desk.upstream.images[WEB].digest}"
        said = [
            desk.run("sync", RELEASE, NEXT, "--to", "oci:copy", "--shard", f"{at}/2", "--accept", accepted)
            for at in (0, 1)
        ]

        assert [0, 0] == [each.code for each in said]

    def test_signatures_are_off_and_it_says_so(self, desk: Desk) -> None:
        """Once, as a warning."""
        said = desk.run("sync", "--to", "oci:out")

        events = [json.loads(line) for line in said.err.splitlines()]
        assert ["warning"] == [event["level"] for event in events if event["event"] == "policy.signatures_off"]

    def test_one_log_line_an_image_and_one_a_run(self, desk: Desk) -> None:
        """JSON where stderr is no terminal."""
        said = desk.run("sync", "--to", "oci:out")

        events = [json.loads(line)["event"] for line in said.err.splitlines()]
        assert (4, 1) == (events.count("sync.image_copied"), events.count("sync.finished"))


class TestShards:
    def test_its_share(self, desk: Desk) -> None:
        """Is all that it does, and JSON and the log's canonical line say which it is."""
        desk.upstream.publish(NEXT)
        shares = [
            desk.run("sync", RELEASE, NEXT, "--to", "oci:copy", "--shard", f"{at}/2", "-o", "json") for at in (0, 1)
        ]

        assert [0, 0] == [said.code for said in shares]
        assert ["0/2", "1/2"] == [said.document["shard"] for said in shares]
        lines = [json.loads(line) for said in shares for line in said.err.splitlines()]
        assert ["0/2", "1/2"] == [line["shard"] for line in lines if line["event"] == "sync.finished"]
        assert [[RELEASE], [NEXT]] == [[one["release"] for one in said.document["releases"]] for said in shares]
        assert 0 == desk.run("verify", "--deep", "--to", "oci:copy").code

    @pytest.mark.parametrize("command", ["sync", "plan"])
    def test_nothing_to_do(self, desk: Desk, command: str) -> None:
        """It says so in one line, asks nobody, and that is no failure: most Jobs have a pod more than they need."""
        desk.upstream.forget_requests()
        said = desk.run(command, RELEASE, "--to", "oci:out", "--shard", "0/2")
        document = desk.run(command, RELEASE, "--to", "oci:out", "--shard", "0/2", "-o", "json").document

        assert 0 == said.code
        assert "shard 0/2: nothing to do, all that is asked for is in other shards\n" == said.out
        assert ("0/2", []) == (document["shard"], document["releases" if command == "sync" else "actions"])
        assert [] == [*desk.upstream.registry.requests, *desk.upstream.charts.requests]
        assert not (desk.directory / "out").exists()

    @pytest.mark.parametrize("command", ["sync", "plan"])
    @pytest.mark.parametrize("shard", ["8/8", "1", "", "-1/8", "one/8"])
    def test_a_mistake(self, desk: Desk, command: str, shard: str) -> None:
        """Exit code 2 and one sentence."""
        said = desk.run(command, RELEASE, f"--shard={shard}")

        assert 2 == said.code
        assert [f"--shard {shard!r}: expected I/N with I from 0 to N-1, as 0/8 to 7/8"] == said.sentences


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["edge-26.8.11"], 2, [f"no edge-26.8.11: the nearest it has are {RELEASE}"]),
            (["edge-26"], 2, ["'edge-26' is not a release", "edge-26.8.3"]),
            (["nightly"], 2, ["'nightly' is not a channel", "edge and stable"]),
            (["--to", "nonsense"], 2, ["'nonsense' is neither a destination", "oci:DIR"]),
            (["--to", "oci:"], 2, ["oci: needs a directory"]),
            (["--to", "registry.example.com/UPPER"], 2, ["'UPPER' is not a repository name"]),
            (["--to", "https://registry.example.com/x"], 2, ["leave https:// out, as registry.example.com/x: "]),
            (["--to", "./foo"], 2, ["--to ./foo: give a directory as oci:./foo"]),
            (["--to", "/srv/foo"], 2, ["--to /srv/foo: give a directory as oci:/srv/foo"]),
            (["--accept", "web"], 2, ["--accept web: expected REFERENCE@DIGEST"]),
            (["--accept", f"{WEB}@sha256:abc"], 2, ["sha256:abc"]),
            (["--accept", f"NOT A REFERENCE@sha256:{'0' * 64}"], 2, ["NOT A REFERENCE"]),
        ],
    )
    def test_input(self, desk: Desk, arguments: list[str], code: int, words: list[str]) -> None:
        """One sentence that names it; JSON says the same; nobody is written to."""
        to = [] if "--to" in arguments else ["--to", "oci:out"]
        said = desk.run("sync", *arguments, *to)
        as_json = desk.run("sync", *arguments, *to, "-o", "json")

        assert (code, code) == (said.code, as_json.code)
        assert "" == said.out
        [sentence] = said.sentences
        assert [] == [word for word in words if word not in sentence]
        assert {"schema": 1, "error": {"exit_code": code, "messages": [sentence]}} == as_json.document
        assert not (desk.directory / "out").exists()

    @pytest.mark.parametrize("selector", [RELEASE, "edge"])
    def test_charts_out_of_reach(self, desk: Desk, selector: str) -> None:
        """Exit code 1, the host named, well under 30 s."""
        desk.configure(channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}})
        begin = time.monotonic()
        said = desk.run("sync", selector, "--to", "oci:out")

        assert 1 == said.code
        assert time.monotonic() - begin < 30
        told = [line for line in [*said.sentences, *said.out.splitlines()] if "127.0.0.1:1" in line]
        assert 1 == len(told)

    def test_a_destination_out_of_reach(self, desk: Desk) -> None:
        """Exit code 1, in the report, and in JSON."""
        said = desk.run("sync", "--to", "127.0.0.1:1/l5d")
        as_json = desk.run("sync", "--to", "127.0.0.1:1/l5d", "-o", "json")

        assert (1, 1) == (said.code, as_json.code)
        [line] = said.out.splitlines()
        assert "127.0.0.1:1" in line
        assert "127.0.0.1:1" in as_json.document["releases"][0]["reason"]

    def test_a_refused_credential(self, desk: Desk, htpasswd_distribution: Distribution, path: str) -> None:
        """Exit code 1, the host named, the password nowhere."""
        host = htpasswd_distribution.host
        (desk.directory / "password").write_text("hunter2-wrong\n")
        entry = {"endpoint": f"http://{host}", "username": USERNAME, "password_file": "password"}
        desk.configure(registries={host: entry})
        said = desk.run("sync", "--to", f"{host}/{path}")

        assert 1 == said.code
        assert host in said.out
        assert "credential" in said.out
        assert "hunter2" not in said.out + said.err

    def test_a_password_file_that_is_not_there(self, desk: Desk) -> None:
        """The configuration is wrong: exit code 2."""
        desk.upstream.registry.manners = Manners(auth="basic", username="me", password="x")
        entry = {"endpoint": desk.upstream.registry.url, "username": "me", "password_file": "no-such-file"}
        desk.configure(registries={"ghcr.io": entry})
        said = desk.run("sync", "--to", "oci:out")

        assert 2 == said.code
        assert ["password_file no-such-file cannot be read: No such file or directory"] == said.sentences

    def test_a_values_file_that_is_not_there(self, desk: Desk) -> None:
        """Likewise."""
        desk.configure(overrides={"values": {"linkerd-viz": ["no-such-file.yaml"]}})
        said = desk.run("sync", "--to", "oci:out")

        assert 2 == said.code
        [sentence] = said.sentences
        assert "no-such-file.yaml cannot be read: No such file or directory" in sentence

    @pytest.mark.parametrize("at", ["out", "out/deeper"])
    def test_a_path_that_is_a_file(self, desk: Desk, at: str) -> None:
        """Exit code 1, the path named, the file untouched."""
        (desk.directory / "out").write_text("mine\n")
        said = desk.run("sync", "--to", f"oci:{at}")

        assert 1 == said.code
        assert 1 == len([line for line in [*said.sentences, *said.out.splitlines()] if "out" in line])
        assert "mine\n" == (desk.directory / "out").read_text()

    def test_a_directory_that_has_something_else(self, desk: Desk) -> None:
        """What an operator keeps there is not touched."""
        (desk.directory / "out").mkdir()
        (desk.directory / "out" / "mine").write_text("mine\n")
        desk.run("sync", "--to", "oci:out")

        assert "mine\n" == (desk.directory / "out" / "mine").read_text()

    def test_values_that_cannot_be_written(self, desk: Desk) -> None:
        """Exit code 1, the path named; what was copied is told too."""
        (desk.directory / "overrides").write_text("")
        destination = {"kind": "layout", "directory": "out", "pull_registry": "x.io/l5d"}
        desk.configure(destinations={"disk": destination})
        said = desk.run("sync")

        assert 1 == said.code
        assert "overrides/disk" in said.out
        assert "cannot be written" in said.out
        assert "4 copied" in said.out

    def test_wrong_bytes(self, desk: Desk) -> None:
        """Exit code 1; source, repository and digest are named."""
        layer = next(d for d, data in desk.upstream.images[WEB].children[0].blobs.items() if b"web" in data)
        desk.upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(corrupt), times=ALWAYS))
        said = desk.run("sync", "--to", "oci:out", "-o", "json")

        assert 1 == said.code
        [reason] = [image["reason"] for image in said.document["releases"][0]["images"] if image["reason"]]
        assert "ghcr.io/linkerd/web" in reason
        assert str(layer) in reason

    def test_a_configuration_that_is_wrong(self, desk: Desk) -> None:
        """The key, and the nearest that is known."""
        (desk.directory / "mirror.toml").write_text('relases = ["edge"]\n')
        said = desk.run("sync")

        assert 2 == said.code
        assert "releases" in said.sentences[0]

    @pytest.mark.parametrize("status", [401, 403, 429, 500])
    def test_upstream_refuses_all(self, desk: Desk, status: int) -> None:
        """Exit code 1, each image with its reason, one document."""
        desk.upstream.registry.faults.append(Fault(".*", answer(status, Retry_After="0"), times=ALWAYS))
        said = desk.run("sync", "--to", "oci:out", "-o", "json")

        assert 1 == said.code
        images = said.document["releases"][0]["images"]
        assert ["failed"] * 4 == [image["outcome"] for image in images]
        assert all(str(status) in image["reason"] for image in images)

    def test_a_full_disk(self, desk: Desk, disk: Path) -> None:
        """Exit code 1, in words; what is at the destination is whole."""
        desk.upstream.put(WEB, two_platforms("x" * 3_000_000))
        said = desk.run("sync", "--to", f"oci:{disk / 'out'}")

        assert 1 == said.code
        assert "No space left on device" in said.out


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    with small_disk(tmp_path / "small", 2_000_000):
        yield tmp_path / "small"


class TestInterrupted:
    def test_ctrl_c_in_the_middle_of_a_copy(self, desk: Desk) -> None:
        """130 long before a stalled read would end, one sentence, no tag; the next run brings it in step."""
        what = two_platforms("y" * 1_000_000)
        desk.upstream.put(WEB, what)
        layer = next(d for d, data in what.children[0].blobs.items() if b"y" * 1000 in data)
        desk.upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(stalled(after=400_000)), times=4))
        process = desk.start("sync", RELEASE, "--to", "oci:out")
        deadline = time.monotonic() + 20
        while not desk.upstream.registry.asked(f"GET .*/blobs/{layer}") and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

        assert time.monotonic() - begin < 20  # a stalled read ends after 30 s
        assert 130 == process.returncode
        assert err.splitlines()[-1].startswith("mirror: interrupted")
        assert "Traceback" not in err
        assert "RuntimeWarning" not in err
        index = json.loads((desk.directory / "out" / "index.json").read_text())
        names = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]]
        assert f"web:{RELEASE}" not in names
        desk.upstream.registry.faults.clear()
        assert 0 == desk.run("sync", RELEASE, "--to", "oci:out").code


class TestSecrets:
    SECRETS = ("hunter2-environment", "hunter2-file", "hunter2-docker")

    def test_they_are_nowhere(self, desk: Desk) -> None:
        """Not in output, logs at their most talkative, errors, JSON, or the process list."""
        environment, in_file, docker = self.SECRETS
        with_auth = desk.upstream.registry
        with_auth.manners = Manners(auth="basic", username="me", password=in_file)
        (desk.directory / "password").write_text(in_file)
        entry = {"endpoint": with_auth.url, "username": "me", "password_file": "password"}
        # hub's credential is wrong, so that there is an error to be told of
        desk.configure(registries={"ghcr.io": entry, "docker.io": {"endpoint": with_auth.url}})
        auth = base64.b64encode(f"me:{docker}".encode()).decode()
        (desk.directory / "home" / ".docker").mkdir(parents=True)
        configuration = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
        (desk.directory / "home" / ".docker" / "config.json").write_text(json.dumps(configuration))
        variable = json.dumps({"unused.example.com": {"username": "me", "password": environment}})
        process = desk.start(
            "--log-level", "debug", "sync", RELEASE, "--to", "oci:out", "-o", "json", MIRROR_REGISTRIES=variable
        )
        command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        out, err = process.communicate(timeout=60)

        assert 1 == process.returncode
        document = json.loads(out)
        outcomes = sorted(image["outcome"] for image in document["releases"][0]["images"])
        assert ["copied", "copied", "copied", "failed"] == outcomes
        secrets = [*self.SECRETS, auth, base64.b64encode(f"me:{in_file}".encode()).decode()]
        assert [] == [secret for secret in secrets if secret in out + err + command_line]

    def test_what_a_registry_says_back(self, desk: Desk) -> None:
        """A registry that quotes the credential does not make us tell it."""
        registry = desk.upstream.registry
        (desk.directory / "password").write_text(self.SECRETS[1])
        entry = {"endpoint": registry.url, "username": "me", "password_file": "password"}
        desk.configure(registries={"ghcr.io": entry})
        quoted = base64.b64encode(f"me:{self.SECRETS[1]}".encode())
        body = b'{"errors":[{"code":"DENIED","message":"Authorization: Basic ' + quoted + b' is not known"}]}'
        registry.faults.append(Fault(".* /v2/linkerd/.*", answer(403, body), times=ALWAYS))
        said = desk.run("sync", "--to", "oci:out", "-o", "json")

        assert 1 == said.code
        assert quoted.decode() not in said.out + said.err


class TestProcess:
    def test_stdout_is_closed_early(self, desk: Desk) -> None:
        """`mirror sync | head -1` does the work."""
        process = desk.start("sync", RELEASE, "--to", "oci:out")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.stderr.close()
        process.wait(30)

        assert "Traceback" not in err
        assert 0 == desk.run("verify", "--to", "oci:out").code

    def test_progress_is_not_shown_to_a_pipe(self, desk: Desk) -> None:
        """No escapes in what is piped."""
        process = desk.start("sync", RELEASE, "--to", "oci:out", TERM="xterm-256color")
        out, err = process.communicate(timeout=60)

        assert 0 == process.returncode
        assert "\x1b" not in out + err

    async def test_two_at_once_do_no_harm(self, desk: Desk) -> None:
        """Both end well, and what they made is whole."""
        first, second = (desk.start("sync", RELEASE, "--to", "oci:out") for _ in range(2))
        for process in (first, second):
            _, err = process.communicate(timeout=60)
            assert 0 == process.returncode, err

        named = await Layout(desk.directory / "out").repository("web").head(RELEASE)
        assert desk.upstream.images[WEB].digest == named


def test_credentials_that_are_right(desk: Desk, htpasswd_distribution: Distribution, path: str) -> None:
    """From the environment, as Kubernetes gives them."""
    host = htpasswd_distribution.host
    desk.configure(registries={host: {"endpoint": f"http://{host}"}})
    variable = json.dumps({host: {"endpoint": f"http://{host}", "username": USERNAME, "password": PASSWORD}})
    process = desk.start("sync", RELEASE, "--to", f"{host}/{path}", MIRROR_REGISTRIES=variable)
    _, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert PASSWORD not in err


def test_a_registry_with_tokens(desk: Desk, token_distribution: Distribution, path: str) -> None:
    """The whole job with a token service at the destination."""
    host = token_distribution.host
    (desk.directory / "password").write_text(PASSWORD)
    desk.configure(registries={host: {"endpoint": f"http://{host}", "username": USERNAME, "password_file": "password"}})
    said = desk.run("sync", "--to", f"{host}/{path}", "-o", "json")

    assert 0 == said.code, said.err
    assert "synced" == said.document["releases"][0]["outcome"]
