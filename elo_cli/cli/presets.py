"""`elo presets`: list, show and copy the settings that elo comes with."""

from pathlib import Path
from typing import Annotated, TextIO

import typer

from elo_cli.cli.group import QuickGroup
from elo_cli.cli.options import complete_preset
from elo_cli.cli.terminal import escape, say

EXAMPLE = "elo presets copy small my.yaml"

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_preset, help="One of elo presets.")]


def overview(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as one JSON document.")] = False,
) -> None:
    """List the presets, show one, or copy one."""
    if context.invoked_subcommand is not None:
        return
    from elo_cli.cli.render import show_json
    from elo_cli.config import describe, presets

    found = {name: describe(path) for name, path in presets().items()}
    if as_json:
        show_json(found)
        return
    width = max(map(len, found), default=0)
    for name, text in found.items():
        # A preset opens with the command that uses it; what it is for begins on the second line.
        purpose = " ".join(text.splitlines()[1:]).partition(". ")[0].removesuffix(".")
        say(f"{escape(name):{width}}  {escape(purpose)}".rstrip())
    if not found:
        say("No preset is installed.")


def show(name: Name) -> None:
    """Print a preset as it stands."""
    say(_read(name).rstrip("\n"))


def copy(
    name: Name,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Where to; NAME.yaml if not given.")] = None,
) -> None:
    """Copy a preset to a file, to be changed.

    The copy is given to a command with --config. A file that is there already is left as it is.
    """
    from elo_cli.core.errors import StorageError, UsageError

    text = _read(name)
    target = file or Path(f"{name}.yaml")
    try:
        with target.open("x", encoding="utf-8") as stream:
            _fill(stream, text, target)
    except FileExistsError:
        raise UsageError(f"{target} is there already; it is left as it is.", hint="Give another FILE.") from None
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.", hint="Give another FILE.") from error
    say(f"{escape(target)} is written; use it with --config {escape(target)}")


def _fill(stream: TextIO, text: str, target: Path) -> None:
    """Write the whole of `text`, or leave no file."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _read(name: str) -> str:
    from elo_cli.config import preset_path

    return preset_path(name).read_text(encoding="utf-8")


def build() -> typer.Typer:
    """Return the commands as one group."""
    example = f"Example: {EXAMPLE}"
    group = typer.Typer(name="presets", cls=QuickGroup, invoke_without_command=True, callback=overview, epilog=example)
    group.command("show", epilog="Example: elo presets show small")(show)
    group.command("copy", epilog=example)(copy)
    return group
