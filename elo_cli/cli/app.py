"""The command `elo`: its commands, and the way from any error to an exit code."""

import contextlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from elo_cli.cli import (
    benchmark,
    dataset,
    demo,
    doctor,
    evolve,
    export,
    extract_features,
    fitness,
    losses,
    preprocess,
    presets,
    pretrain,
    proxy_search,
)
from elo_cli.cli.faults import report
from elo_cli.cli.group import QuickGroup
from elo_cli.cli.launching import leave_together
from elo_cli.cli.options import Invocation
from elo_cli.cli.terminal import forgive_encodings, has_colour, say, silence_stdout

EXAMPLE = "elo demo"

_COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "preprocess": preprocess,
    "proxy-search": proxy_search,
    "evolve": evolve,
    "pretrain": pretrain,
    "extract-features": extract_features,
    "benchmark": benchmark,
    "fitness": fitness,
    "doctor": doctor,
    "export": export,
}


class _Elo(QuickGroup):
    """The commands, with every error told in one way."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse and run a command line, and leave with its exit code."""
        invocation = Invocation(tuple(sys.argv[1:] if args is None else args))
        stdout = sys.stdout
        extra["obj"] = invocation
        try:
            code = super().main(list(invocation.arguments), "elo", complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except SystemExit:
            if sys.stdout is stdout:  # Typer's own commands for completion leave so
                raise
            code = 0  # so Typer takes a pipe whose reader has gone: that reader had enough
        except BrokenPipeError:
            silence_stdout()
            code = 0
        except Exception as error:
            code = report(error, debug=invocation.debug)
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            silence_stdout()
        sys.exit(code if isinstance(code, int) else 0)


def _print_version(asked: bool) -> None:
    if asked:
        import elo_cli

        say(f"elo {elo_cli.__version__}")
        raise typer.Exit


def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="ELO_DEBUG", help="Print the traceback of an error.")] = False,
) -> None:
    """Learn video representations without labels, and search for the loss that learns them best."""
    Invocation.of(context).debug = debug
    if context.invoked_subcommand is None:
        text = context.get_help()  # empty where Rich has printed it
        if text:
            say(text)
        raise typer.Exit(2)


def build() -> typer.Typer:
    """Return the application, with boxes and colours where a person will see them."""
    app = typer.Typer(
        name="elo",
        cls=_Elo,
        callback=_start,
        invoke_without_command=True,
        rich_markup_mode="rich" if has_colour(sys.stdout) else None,
        pretty_exceptions_enable=False,
        epilog=f"Example: {EXAMPLE}",
    )
    for name, module in _COMMANDS.items():
        app.command(name, epilog=f"Example: {module.EXAMPLE}")(module.command)
    app.add_typer(dataset.build())
    app.add_typer(losses.build())
    app.add_typer(presets.build())
    return app


def main() -> None:
    """Run `elo`: the console entry."""
    forgive_encodings()
    try:
        build()()
    except SystemExit as end:
        leave_together(end.code)
        raise
