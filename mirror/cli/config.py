"""`mirror config`: what holds, whether it is right, and what may be written."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from mirror.cli import output

if TYPE_CHECKING:
    from mirror.cli.main import Context


@click.group(name="config")
def command() -> None:
    r"""Show, check or describe the configuration.

    \b
    Examples:
      # what holds, and which file or variable says so
      mirror config show
      # is this file right? Exit code 2 and one line for each problem if it is not
      mirror --config mirror.toml config check
      # completion and checks in an editor
      mirror config schema > mirror.schema.json
    """


@command.command()
@output.output_option
@click.pass_obj
def show(context: Context, output_format: output.OutputFormat) -> None:
    """Print every key with its value and where it comes from; secrets are hidden."""
    loaded = context.loaded
    keys = loaded.describe()
    if output_format == "json":
        rows = [{"key": key.key, "value": key.value, "source": key.source} for key in keys]
        path = str(loaded.path) if loaded.path else None
        output.print_json({"file": path, "keys": rows, "warnings": list(loaded.warnings)})
        return
    output.print_table(
        ["KEY", "VALUE", output.Column("SOURCE", style="dim")],
        [(key.key, json.dumps(key.value, ensure_ascii=False), key.source) for key in keys],
    )


@command.command()
@output.output_option
@click.pass_obj
def check(context: Context, output_format: output.OutputFormat) -> None:
    """Say whether the configuration is right, and the files that it names. Contacts nobody."""
    from mirror import files
    from mirror.errors import SettingsError

    loaded = context.loaded
    if problems := asyncio.run(files.problems(loaded.settings)):
        raise SettingsError("\n".join(problems))
    if output_format == "json":
        output.print_json({"file": str(loaded.path) if loaded.path else None, "warnings": list(loaded.warnings)})
    else:
        output.print_line(f"{loaded.path}: no problem" if loaded.path else "no configuration file: the defaults hold")


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from mirror import settings

    click.echo(json.dumps(settings.schema(), indent=2))
