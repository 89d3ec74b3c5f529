"""`mirror completion`."""

from __future__ import annotations

import click


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    r"""Print the script by which SHELL completes commands, options, destinations and releases of the configuration.

    \b
    Examples:
      # bash, in this shell
      source <(mirror completion bash)
      # zsh, in each one to come
      mirror completion zsh > "${fpath[1]}/_mirror"
      # fish
      mirror completion fish > ~/.config/fish/completions/mirror.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None, shell  # noqa: S101 - click has one for each that may be chosen
    click.echo(completion(context.find_root().command, {}, "mirror", "_MIRROR_COMPLETE").source(), nl=False)
