"""Arguments and options that commands share; those that every long command has travel as one object."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_SHARED = "Options of every long command"


@dataclass
class Invocation:
    """One use of the command line.

    Attributes:
        arguments: what was typed after `elo`.
        debug: print the traceback of an error.
    """

    arguments: tuple[str, ...] = ()
    debug: bool = False

    @classmethod
    def of(cls, context: typer.Context) -> "Invocation":
        """Return what `elo_cli.cli.app` put into the context."""
        found = context.find_object(cls)
        return found if found is not None else cls()

    def types(self, *options: str) -> bool:
        """Say whether one of these options was typed, and did not come from the environment."""
        return any(argument.partition("=")[0] in options for argument in self.arguments)


def _matching(words: Callable[[], Iterable[tuple[str, str]]]) -> Callable[[str], list[tuple[str, str]]]:
    """Make a completion out of a function that lists words, each with its help."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        with contextlib.suppress(Exception):  # a shell that is completing has no place for errors
            return [(word, text) for word, text in words() if word.startswith(incomplete)]
        return []

    return complete


def _preset_words() -> Iterable[tuple[str, str]]:
    from elo_cli.config import describe, presets

    return [(name, describe(path).partition("\n")[0]) for name, path in presets().items()]


def _setting_words() -> Iterable[tuple[str, str]]:
    from elo_cli.config import schema_keys

    return [(f"{key}=", text) for key, text in schema_keys().items()]


def _strategy_words() -> Iterable[tuple[str, str]]:
    from elo_cli.strategies import SHELF

    return [(name, "") for name in SHELF.names()]


def _dataset_words() -> Iterable[tuple[str, str]]:
    from elo_cli.datasets import SHELF

    return [(name, "") for name in SHELF.names()]


def _protocol_words() -> Iterable[tuple[str, str]]:
    from elo_cli.protocols import SHELF

    return [(name, "") for name in SHELF.names()]


def _measure_words() -> Iterable[tuple[str, str]]:
    from elo_cli.fitness import SHELF

    return [(name, "") for name in SHELF.names()]


def _method_words() -> Iterable[tuple[str, str]]:
    from elo_cli.core.methods import METHODS

    return [(name, "") for name in METHODS]


complete_preset = _matching(_preset_words)
complete_setting = _matching(_setting_words)
complete_strategy = _matching(_strategy_words)
complete_dataset = _matching(_dataset_words)
complete_protocol = _matching(_protocol_words)
complete_method = _matching(_method_words)
complete_measure = _matching(_measure_words)

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", envvar="ELO_SHARDS", help="Shards, as elo preprocess writes them.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the run is kept, instead of the workspace.")]
Encoder = Annotated[
    Path | None, typer.Option("--encoder", metavar="FILE", help="A trained encoder; that of elo pretrain if not given.")
]
Gpus = Annotated[int | None, typer.Option("--gpus", metavar="N", min=1, help="Train on so many GPUs of this machine together.")]
Processes = Annotated[
    int | None,
    typer.Option("--processes", metavar="N", min=1, help="Train in so many processes together; they share the processors."),
]
Strategy = Annotated[
    str | None,
    typer.Option("--strategy", metavar="NAME", autocompletion=complete_strategy, help="What proposes the losses to try."),
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="How many candidates train side by side.")]
PerDevice = Annotated[int | None, typer.Option("--workers-per-device", metavar="N", help="How many of them share one GPU.")]
Engine = Annotated[str | None, typer.Option("--engine", metavar="NAME", help="What spreads the work: local, or ray (an extra).")]


@dataclass(frozen=True)
class Common:
    """The options of every long command, and the use of the command line that they came with; None where a command lacks one."""

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            envvar="ELO_PRESET",
            autocompletion=complete_preset,
            rich_help_panel=_SHARED,
            help="Start from a preset; elo presets lists them.",
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="ELO_CONFIG",
            rich_help_panel=_SHARED,
            help="Read settings from a YAML file, after elo.yaml and the preset.",
        ),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            autocompletion=complete_setting,
            rich_help_panel=_SHARED,
            help="Change one setting, e.g. pretrain.steps=500; may be given many times.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", envvar="ELO_SEED", rich_help_panel=_SHARED, help="Decide every random choice."),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=_SHARED, help="Show settings and plan, and write nothing."),
    ] = False
    print_settings: Annotated[
        bool,
        typer.Option("--print-settings", rich_help_panel=_SHARED, help="Print the settings in force as YAML, and leave."),
    ] = False
    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=_SHARED, help="Print the result as one JSON document."),
    ] = False
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--fresh", rich_help_panel=_SHARED, help="Go on with the run that is there, or begin beside it."),
    ] = True
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="ELO_DEBUG", rich_help_panel=_SHARED, help="Print the traceback of an error."),
    ] = False
    invocation: Invocation = field(default_factory=Invocation)


def with_common(function: Callable[..., None], without: tuple[str, ...] = ()) -> Callable[..., None]:
    """Give a command (or a group), in place of its parameter `common`, the options that `Common` declares.

    Args:
        function: the command.
        without: options that mean nothing to it.
    """
    hints = get_type_hints(Common, include_extras=True)
    names = [option.name for option in fields(Common) if option.name not in ("invocation", *without)]

    @functools.wraps(function)
    def command(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is not None:  # a group with something to do of its own does it only without a command
            return
        invocation = Invocation.of(context)
        options = {name: given.pop(name) for name in names}
        invocation.debug = invocation.debug or options["debug"]
        options = dict.fromkeys(without) | options
        function(Common(**options, invocation=invocation), **given)

    own = [parameter for name, parameter in inspect.signature(function).parameters.items() if name != "common"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(name, keyword, default=getattr(Common, name), annotation=hints[name]) for name in names]
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    parameters = [context, *(parameter.replace(kind=keyword) for parameter in own), *shared]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
