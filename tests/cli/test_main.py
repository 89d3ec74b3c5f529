"""The program's frame: help, lazy commands, and the end of every error."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.cli.main import COMMANDS, run

HEAVY = ("boto3", "httpx", "pydantic", "pydantic_settings", "rich", "sigstore", "structlog", "yaml")


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands that fail as they are told, and no configuration of the machine."""
    for name in ("fail", "answer", "answer_and_fail", "hang"):
        monkeypatch.setitem(COMMANDS, name, (f"tests.cli.commands:{name}", "For tests."))
    for variable in [name for name in os.environ if name.startswith("MIRROR_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def python(code: str, *, closed: str = "", encoding: str = "utf-8", **options: object) -> subprocess.Popen[str]:
    """A process of its own, in which the test commands are known; *closed* are streams, as the shell spells that."""
    prepare = "from mirror.cli.main import COMMANDS, main, run\n" + "".join(
        f"COMMANDS[{name!r}] = ('tests.cli.commands:{name}', '')\n" for name in ("fail", "answer", "hang")
    )
    project = Path(__file__).parents[2]
    command = ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", prepare + code]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environ = os.environ | {"PYTHONPATH": str(project), "PYTHONIOENCODING": encoding}
    return subprocess.Popen(command, text=True, env=environ, **streams)  # type: ignore[call-overload,no-any-return]


class TestHelp:
    def test_it_imports_next_to_nothing(self) -> None:
        """Click, and the frame: so that it is there at once."""
        own = "{name for name in sys.modules if name.startswith('mirror')}"
        others = "{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names"
        out, err = python(f"run(['--help'])\nimport sys\nprint(sorted({own}))\nprint(sorted({others}))").communicate()

        assert "" == err
        *_, ours, theirs = (ast.literal_eval(line) for line in out.splitlines()[-2:])
        assert ["mirror", "mirror.cli", "mirror.cli.main", "mirror.cli.output", "mirror.errors"] == ours
        assert ["click", "mirror"] == [name for name in theirs if not name.startswith("_")]  # those are the machinery's

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_each_command_has_examples(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """On lines of their own, as they are typed; each names the command, and a comment says what for."""
        assert 0 == run([name, "--help"])

        shown = re.search(r"^  Examples:\n((?:    .*\n)+)", capsys.readouterr().out, re.MULTILINE)
        assert shown is not None
        assert f"mirror {name}" in shown[1] or f" {name} " in shown[1] or shown[1].rstrip().endswith(f" {name}")

    def test_it_ends_with_exit_codes_and_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Every command, every exit code, and where configuration is read from."""
        assert 0 == run(["--help"])

        text = capsys.readouterr().out
        assert [] == [name for name in COMMANDS if not re.search(rf"^  {name} ", text, re.MULTILINE)]
        codes = re.findall(r"^  (\d+) ", text.partition("Exit codes:")[2], re.MULTILINE)
        assert ["0", "1", "2", "3", "4", "130"] == codes
        assert "a human must decide: a signature, a moved tag, a taken tag\n" in text
        assert text.rstrip().endswith("where it comes from.")

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The last word is the version."""
        assert 0 == run(["--version"])

        assert re.fullmatch(r"mirror \d+\.\d+\.\d+\n", capsys.readouterr().out)

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            (["snyc"], "There is no command 'snyc'; did you mean sync?"),
            (["zzzzzz"], "There is no command 'zzzzzz'; there are: releases, images,"),
            (["config", "shwo"], "No such command 'shwo'"),
            (["--cofnig", "x", "config"], "No such option '--cofnig'"),
        ],
    )
    def test_a_wrong_word(self, arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Usage, the nearest, and exit code 2; nothing on stdout."""
        assert 2 == run(arguments)

        captured = capsys.readouterr()
        assert "" == captured.out
        assert hint in captured.err
        assert captured.err.startswith("Usage: mirror")

    def test_completion_needs_no_command(self) -> None:
        """Names are completed from the table."""
        code = (
            "import os, sys\nos.environ.update(_MIRROR_COMPLETE='bash_complete', COMP_WORDS='mirror s', COMP_CWORD='1')"
        )
        out, _ = python(f"{code}\nsys.argv = ['mirror']\nmain()").communicate()

        assert "plain,sync\nplain,serve\n" == out


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "code", "lines"),
        [
            ("input", 2, ["mirror: first problem", "mirror: second problem"]),
            ("refused", 3, ["mirror: the tag moved"]),
            ("world", 1, ["mirror: ghcr.io did not answer"]),
            ("world and refused", 3, ["mirror: ghcr.io did not answer", "mirror: the tag moved"]),
            ("the same twice", 1, ["mirror: ghcr.io did not answer"]),
            ("all three", 2, ["mirror: ghcr.io did not answer", "mirror: no", "mirror: bad key"]),
            ("disk", 1, ["mirror: /data/blobs: No space left on device"]),
            ("escape", 1, ["mirror: the registry says \\x1b[2Jboo"]),
        ],
    )
    def test_one_line_each(self, kind: str, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing but the lines, on stderr; the code by precedence."""
        assert code == run(["fail", kind])

        captured = capsys.readouterr()
        assert "" == captured.out
        assert lines == captured.err.splitlines()

    @pytest.mark.parametrize("kind", ["defect", "world and defect", "forgotten deadline"])
    def test_a_defect(self, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The traceback is shown, with a request to report it."""
        assert 1 == run(["fail", kind])

        err = capsys.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert "mirror: this is a defect of mirror: please report it, with the traceback above" == err.splitlines()[-1]
        assert "hunter" not in err

    def test_no_secret_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Userinfo, signatures and credentials are taken out of messages."""
        run(["fail", "secret", "-o", "json"])

        captured = capsys.readouterr()
        assert "hunter" not in captured.err
        assert "ghcr.io/v2/" in captured.err
        assert "hunter" not in captured.out

    def test_json_is_one_document_also_on_failure(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The error is in it, with its code."""
        run(["fail", "all three", "-o", "json"])

        document = json.loads(capsys.readouterr().out)
        assert {
            "schema": 1,
            "error": {"exit_code": 2, "messages": ["ghcr.io did not answer", "no", "bad key"]},
        } == document

    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            (["fail", "input"], 2, "first problem; second problem"),
            (["fail", "secret"], 1, "GET https://***@ghcr.io/v2/?sig=*** Authorization: Bearer ***"),
            (["fail", "--no-such-option"], 2, "No such option '--no-such-option'"),
        ],
        ids=["problems", "a secret", "usage"],
    )
    def test_one_event(self, arguments: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Where the log is JSON, the end of it is, too."""
        assert code == run(["--log-format", "json", *arguments])

        event = json.loads(capsys.readouterr().err)
        assert ("cli.failed", "error", code) == (event["event"], event["level"], event["exit_code"])
        assert reason in event["reason"]

    def test_a_defect_in_one_event(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With its traceback, without secrets."""
        assert 1 == run(["--log-format", "json", "fail", "defect"])

        event = json.loads(capsys.readouterr().err)
        assert "unexpected ZeroDivisionError: https://***@ghcr.io/?token=***" == event["reason"]
        assert "Traceback" in event["exception"]
        assert "hunter" not in json.dumps(event)

    def test_a_document_that_was_printed_stays_the_only_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A failure after the answer adds nothing to stdout."""
        assert 1 == run(["answer_and_fail", "-o", "json"])

        assert {"schema": 1, "answered": True} == json.loads(capsys.readouterr().out)

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted(self, sent: signal.Signals) -> None:
        """130 at once, one line, also while threads wait."""
        process = python("main(['hang'])")
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(sent)
        _, err = process.communicate(timeout=10)

        assert 130 == process.returncode
        assert ["mirror: interrupted; run the same command again to go on from here"] == err.split("\n")[-2:-1]
        assert "Traceback" not in err

    def test_a_closed_pipe(self) -> None:
        """Quiet: who wanted the answer is gone."""
        process = python("main(['answer', '0'])")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.stderr.close()

        assert 1 == process.wait(10)
        assert "" == err

    def test_a_full_disk_below_stdout(self) -> None:
        """It is said, and is no success."""
        with Path("/dev/full").open("w") as full:
            process = python("main(['answer', '0', '-o', 'json'])", stdout=full)
            _, err = process.communicate()

        assert 1 == process.returncode
        assert "mirror: stdout: No space left on device\n" == err

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, closed: str) -> None:
        """What nobody wants to read is not missed."""
        process = python("main(['answer', '4'])", closed=closed)
        _, err = process.communicate()

        assert (4, "") == (process.returncode, err)

    def test_an_encoding_that_lacks_letters(self) -> None:
        """A question mark stands for what it does not have; JSON stays JSON."""
        process = python("main(['answer', '0', '-o', 'json'])", encoding="ascii")
        out, err = process.communicate()

        assert (0, "") == (process.returncode, err)
        assert "?" == json.loads(out)["a"]


class TestAnswers:
    @pytest.mark.parametrize("code", [0, 1, 3, 4])
    def test_a_command_returns_its_exit_code(self, code: int) -> None:
        """What it returns is what the process ends with."""
        assert code == run(["answer", str(code)])

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Schema, sorted keys, no escapes."""
        run(["answer", "0", "-o", "json"])

        assert '{\n  "a": "é",\n  "b": 1,\n  "schema": 1\n}\n' == capsys.readouterr().out

    def test_a_piped_table_is_not_cut(self, capsys: pytest.CaptureFixture[str]) -> None:
        """No colour, no wrapping, no spaces at a line's end."""
        run(["answer", "0"])

        heading, row = capsys.readouterr().out.splitlines()
        assert ["NAME", "SIZE"] == heading.split()
        assert ["x" * 300, "1", "B"] == row.split()
        assert "\x1b" not in heading + row


class TestLogs:
    def test_warnings_are_json_on_stderr(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One document a line where stderr is no terminal; stdout has only the answer."""
        monkeypatch.setenv("MIRROR_PORT", "tcp://10.0.0.1:8080")

        assert 0 == run(["config", "check", "-o", "json"])
        captured = capsys.readouterr()
        assert 1 == json.loads(captured.out)["schema"]
        event = json.loads(captured.err)
        assert ("settings.variable_ignored", "warning") == (event["event"], event["level"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", event["timestamp"])

    def test_the_level_holds(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """What is below it is not written."""
        monkeypatch.setenv("MIRROR_PORT", "tcp://10.0.0.1:8080")

        assert 0 == run(["--log-level", "error", "config", "check"])
        assert "" == capsys.readouterr().err
