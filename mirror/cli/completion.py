"""`mirror completion`."""

from __future__ import annotations

import click

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line=${COMP_LINE:0:COMP_POINT} completion type value word before=
    # Bash cuts words at a colon, as in edge:2 and oci:DIR: mirror gets the line, its answers are cut likewise.
    word=${line##*[[:space:]=]}
    [[ $COMP_WORDBREAKS == *:* ]] && before=${word%%"${word##*:}"}
    for completion in $(env COMP_WORDS="$line''" COMP_CWORD=-1 %(complete_var)s=bash_complete "$1"); do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("${value#"$before"}")
            [[ $value == *[/:] ]] && compopt -o nospace
        fi
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


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

    found = get_completion_class(shell)
    assert found is not None, shell  # noqa: S101 - click has one for each that may be chosen
    completion = found(context.find_root().command, {}, "mirror", "_MIRROR_COMPLETE")
    click.echo(_BASH % completion.source_vars() if shell == "bash" else completion.source(), nl=False)
