"""The program: options that every command shares, commands loaded by name, and the end of every error.

`mirror --help` imports click and nothing else of weight: a command's module is imported when the command is called.
A command returns its exit code (None is 0); what it raises ends here, each problem as one line on stderr, or all in one
event, `cli.failed`, with `--log-format json`:

    MirrorError            its own exit code: 2 input, 3 refused, 1 the world
    a group of them        one line each; 2, then 3, then 1
    OSError                1: what the system says (full disk, closed pipe)
    Ctrl-C, SIGTERM        130, at once: sockets are shut, no tag was written; GRACE_S later in any case
    anything else          1, with the traceback and a request to report it
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mirror.cli import output
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mirror.cli.progress import Progress, QuietProgress
    from mirror.settings import Loaded, Settings

INTERRUPTED = 130
GRACE_S = 4.0  # Kubernetes and systemd give more
_PRECEDENCE = (2, 3, 1)
_YOUNG_MAX = 10_000
_HELP_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# name -> where its command is, and what `mirror --help` says of it
COMMANDS = {
    "releases": (
        "mirror.cli.releases:command",
        "The releases that exist, newest first, and where each is mirrored.",
    ),
    "images": ("mirror.cli.images:command", "The images of a release, and the values that control each."),
    "plan": ("mirror.cli.plan:command", "What a sync would copy and what it would refuse. Writes nothing."),
    "sync": ("mirror.cli.sync:command", "Verify and copy releases, write their Helm values, prove them."),
    "path": ("mirror.cli.path:command", "The releases to pass on an upgrade, and what changes at each."),
    "verify": ("mirror.cli.verify:command", "Is the mirror still what was recorded? Needs no upstream."),
    "overrides": ("mirror.cli.overrides:command", "The Helm values that point a release at the mirror."),
    "diff": ("mirror.cli.diff:command", "What differs between two releases, or between upstream and the mirror."),
    "audit": ("mirror.cli.audit:command", "What a cluster runs that the mirror does not hold, or not so."),
    "prune": ("mirror.cli.prune:command", "What retention would delete from the mirror; --yes deletes it."),
    "export": ("mirror.cli.export:command", "Releases into one file, to be carried across an air gap."),
    "import": ("mirror.cli.import_:command", "What an export wrote, checked and brought into a mirror. No upstream."),
    "rewrite": ("mirror.cli.rewrite:command", "Kubernetes manifests, their images pointed at the mirror."),
    "serve": ("mirror.cli.serve:command", "The service: sync on a schedule, and show what came of it."),
    "doctor": ("mirror.cli.doctor:command", "What is wrong, before a sync finds it, and what to do about it."),
    "completion": ("mirror.cli.completion:command", "The completion script of a shell."),
    "config": ("mirror.cli.config:command", "Show, check or describe the configuration."),
    "demo": ("mirror.cli.demo:command", "The whole job, offline, with a small release made on the fly."),
}

_HELP = """Keep a faithful, verified copy of Linkerd's images in a registry of your own.

\b
Examples:
  # copy the newest edge release into ./linkerd-mirror, with no configuration at all
  mirror sync
  # see first what a sync into your registry would do
  mirror plan edge --to registry.example.com/linkerd
  # copy one release there, and write the Helm values that use it
  mirror sync edge-26.8.3 --to registry.example.com/linkerd
  # try it all without a network
  mirror demo
"""

_EPILOG = """\b
Exit codes:
  0    in step, or brought in step; the question was answered
  1    the world failed: network, refused credential, full disk, wrong bytes
  2    the input is wrong: an option, a configuration key, an unknown release
  3    refused, a human must decide: a signature, a moved tag, a taken tag
  4    plan, verify, diff, audit, rewrite --strict: not in step
  130  interrupted

\b
Configuration is read from --config FILE, else the file that MIRROR_CONFIG names,
else ./mirror.toml, else /etc/mirror/config.toml; MIRROR_SECTION__KEY overrides a key.
`mirror config show` says what holds and where it comes from.
"""


@dataclass
class Context:
    """What the options before the command say; commands get it by `@click.pass_obj`."""

    config: Path | None = None
    log_format: str = "auto"
    log_level: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    meta: dict[str, Any] = field(default_factory=dict)
    """click's notes of this call: how the answer is wanted, and whether it was given."""

    @cached_property
    def loaded(self) -> Loaded:
        """The settings with their sources; each warning has been logged. Raises SettingsError."""
        import structlog

        from mirror import settings

        loaded = settings.load(self.config, self.environ)
        for warning in loaded.warnings:
            structlog.get_logger().warning("settings.variable_ignored", reason=warning)
        return loaded

    @property
    def settings(self) -> Settings:
        """The settings; raises SettingsError."""
        return self.loaded.settings

    def progress(self) -> Progress | QuietProgress:
        """A display of progress on stderr if that is a terminal and no log level was asked for; else a silent one."""
        from mirror.cli.progress import Progress, QuietProgress

        return Progress() if sys.stderr.isatty() and self.log_level is None else QuietProgress()

    def configure_logs(self) -> None:
        """Sets logging up: by default, warnings on a terminal and everything from `info` elsewhere."""
        from mirror import logs

        level = self.log_level or ("warning" if sys.stderr.isatty() else "info")
        logs.configure(self.log_format, level)  # type: ignore[arg-type]  # click has checked the choice


class _Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return _shown_as_written(getattr(importlib.import_module(module), attribute))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write("\n")
        formatter.write_text(_EPILOG)  # at the margin: the epilog is sections of its own


def _shown_as_written(command: click.Command) -> click.Command:
    """*command*, and those below it, with help that keeps its lines where it says so, and is as wide as all of it.

    click looks for a backspace before such a paragraph, and a raw docstring has a backslash and a letter.
    """
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    command.context_settings.update(_HELP_SETTINGS)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _shown_as_written(below)
    return command


@click.group(
    cls=_Commands,
    help=_HELP,
    context_settings=_HELP_SETTINGS,
    no_args_is_help=True,
)
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="The configuration file (TOML).")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    default="auto",
    envvar="MIRROR_LOG_FORMAT",
    help="How logs are written to stderr; auto is JSON unless stderr is a terminal.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    envvar="MIRROR_LOG_LEVEL",
    help="The least that is logged. With it, no progress is shown.",
)
@click.version_option(package_name="linkerd-mirror", prog_name="mirror", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, config: Path | None, log_format: str, log_level: str | None) -> None:
    """Keeps what the shared options say in the `Context`."""
    shared = context.ensure_object(Context)
    shared.config, shared.log_format, shared.log_level, shared.meta = config, log_format, log_level, context.meta
    shared.configure_logs()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the program and ends the process with its exit code.

    A start makes many objects that stay, so to look for garbage after every 700 of them, and once more in all of them
    at the end, is a fifth of a short run.
    """
    _open_streams()
    signal.signal(signal.SIGTERM, _terminated)
    gc.set_threshold(_YOUNG_MAX)
    exit_code = run(arguments)
    gc.freeze()
    sys.exit(exit_code)


def _open_streams() -> None:
    """There are stdin, stdout and stderr, and what the encoding of stdout does not have is shown as a question mark."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # who started us has closed it
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  it stays
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # stderr spells it out, whatever its encoding


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; its exit code. Ends the process at once when interrupted: threads may be in a read."""
    context = Context()
    try:
        result = cli.main(arguments, prog_name="mirror", standalone_mode=False, obj=context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as exc:
        if context.log_format == "json":
            _log(exc.format_message(), exc.exit_code)
        else:
            exc.show()
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        _stop_at_once()
    except BaseException as exc:  # noqa: BLE001  the top of the process: nothing is above
        return _failed(exc, context)


def _failed(exc: BaseException, context: Context) -> int:
    """Tells of *exc* on stderr; the exit code."""
    leaves = list(dict.fromkeys(_leaves(exc)))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        _stop_at_once()
    if isinstance(exc, SystemExit):
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        # Who read stdout is gone; the interpreter must not try to flush it again (python docs, signal, SIGPIPE).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    unexpected = [leaf for leaf in leaves if not (isinstance(leaf, MirrorError) or _is_of_the_system(leaf))]
    codes = {leaf.exit_code if isinstance(leaf, MirrorError) else 1 for leaf in leaves}
    exit_code = 1 if unexpected else next(code for code in _PRECEDENCE if code in codes)
    lines = list(dict.fromkeys(_redact(line) for leaf in leaves for line in _lines(leaf)))
    if context.log_format == "json":
        _log("; ".join(lines), exit_code, exc if unexpected else None)
    else:
        _tell_failure(lines, exc if unexpected else None)
    try:
        output.print_failure(context.meta, lines, exit_code)
    except OSError:
        return 1  # stdout itself is what failed
    return exit_code


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def _is_of_the_system(leaf: BaseException) -> bool:
    return isinstance(leaf, OSError) and leaf.errno is not None  # a bare TimeoutError is a deadline of ours, forgotten


def _lines(leaf: BaseException) -> list[str]:
    if isinstance(leaf, MirrorError):
        return str(leaf).splitlines() or [type(leaf).__name__]
    if isinstance(leaf, OSError) and _is_of_the_system(leaf):
        place = f"{leaf.filename}: " if leaf.filename is not None else ""
        return [f"{place}{leaf.strerror or leaf}"]
    return [f"unexpected {type(leaf).__name__}: {leaf}"]


def _tell_failure(lines: Sequence[str], defect: BaseException | None) -> None:
    for line in lines:
        _tell(line)
    if defect is not None:
        import traceback

        _tell_text("".join(traceback.format_exception(defect)))
        _tell("this is a defect of mirror: please report it, with the traceback above")


def _log(reason: str, exit_code: int, defect: BaseException | None = None) -> None:
    import structlog

    more = {} if defect is None else {"exc_info": defect}
    structlog.get_logger().error("cli.failed", reason=reason, exit_code=exit_code, **more)


def _tell(line: str) -> None:
    _tell_text(f"mirror: {line}\n")


def _tell_text(text: str) -> None:
    click.echo(output.printable(_redact(text)), err=True, nl=False)


def _redact(text: str) -> str:
    from mirror.logs import redact

    return redact(text)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    """Ends as by Ctrl-C; work that does not end is left to itself after GRACE_S."""
    # an alarm, not a thread: a handler may come in the middle of starting one, which is not to be entered twice
    signal.signal(signal.SIGALRM, lambda *_: _stop_at_once())
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):  # as in the background of a shell
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _stop_at_once() -> NoReturn:
    """Ends the process without waiting for threads that block in a read or a write."""
    _tell("interrupted; run the same command again to go on from here")
    os._exit(INTERRUPTED)
