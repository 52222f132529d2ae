"""From a command line to a workflow and back: settings in, the outcome drawn, signals obeyed."""

import importlib
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elo_cli.cli.options import Common
from elo_cli.cli.render import show_json, show_outcome
from elo_cli.cli.signals import stop_request
from elo_cli.cli.terminal import complain, escape, say
from elo_cli.cli.watching import open_watch
from elo_cli.core.errors import EloError, Interrupted, Stopped
from elo_cli.core.rank import Rank

if TYPE_CHECKING:
    from elo_cli.core.settings import Settings
    from elo_cli.workflows.events import Outcome


def run_workflow(verb: str, common: Common, shorthands: Mapping[str, object] | None = None, **places: object) -> None:
    """Resolve the settings, plan or run a workflow, and show what came out.

    Args:
        verb: the workflow, a file of elo_cli/workflows.
        common: the options that every long command has.
        shorthands: settings that options of the command's own stand for; None means not given.
        places: what else the workflow takes: files, folders, names.
    """
    from elo_cli.config import resolve

    given = [f"{key}={json.dumps(value)}" for key, value in (shorthands or {}).items() if value is not None]
    settings = resolve(common.preset, common.config, [*(common.assignments or ()), *given], common.seed)
    if common.print_settings:
        _show_settings(settings, as_json=common.as_json)
        return
    workflow = importlib.import_module(f"elo_cli.workflows.{verb}")
    arguments = {"settings": settings, **places}
    if common.resume is not None:
        arguments["fresh"] = not common.resume
    try:
        if common.dry_run:
            outcome = workflow.plan(**arguments)
            if not common.as_json:
                _show_changes(settings)
        else:
            outcome = _run(workflow, arguments, _resuming_line(common.invocation.arguments))
    except EloError as error:
        found = getattr(error, "outcome", None)  # of an examination whose finding is the error: DamagedSet, UnfitMachine
        if found is not None:
            _show(found, as_json=common.as_json)
        raise
    if Rank.announced().number == 0:  # of processes that train together one speaks
        _show(outcome, as_json=common.as_json)
    if common.dry_run:
        complain("This was a dry run: nothing is written.")


def _run(workflow: Any, arguments: Mapping[str, object], go_on: str) -> "Outcome":
    """Run a workflow under watch; a second Ctrl-C ends it where it stands."""
    with _endings(go_on), stop_request(go_on) as request, open_watch(request) as watch:
        outcome: Outcome = workflow.run(**arguments, watch=watch)
    return outcome


@contextmanager
def _endings(go_on: str) -> Iterator[None]:
    """Give an early end its hint, and keep the workflow's own pipes apart from the one behind stdout."""
    try:
        yield
    except Stopped as error:
        error.hint = error.hint or f"Go on with: {go_on}"
        raise
    except KeyboardInterrupt:
        raise Interrupted("Stopped at once; what was saved before is safe.", hint=f"Go on with: {go_on}") from None
    except (BrokenPipeError, EOFError) as error:  # Typer takes these for the end of stdout and of stdin
        raise RuntimeError(f"a pipe inside the workflow was closed: {error!r}") from error


def _resuming_line(arguments: tuple[str, ...]) -> str:
    """Return the command line that goes on with the work: the same, but `--fresh` would begin anew."""
    return shlex.join(["elo", *(argument for argument in arguments if argument != "--fresh")])


def _show(outcome: "Outcome", *, as_json: bool) -> None:
    if as_json:
        show_json(outcome.result)
    else:
        show_outcome(outcome)


def _show_settings(settings: "Settings", *, as_json: bool) -> None:
    from elo_cli.config import settings_dict
    from elo_cli.core.strict_yaml import dump_yaml

    if as_json:
        show_json(settings_dict(settings))
    else:
        say(dump_yaml(settings_dict(settings)).rstrip())


def _show_changes(settings: "Settings") -> None:
    """Show the settings that are not the defaults; `--print-settings` shows all of them."""
    from elo_cli.config import changes

    say("Settings, where they differ from the defaults (--print-settings shows all):")
    for key, value in changes(settings).items() or {"": "none differs"}.items():
        say(f"  {key}: {escape(json.dumps(value, ensure_ascii=False))}" if key else f"  {value}")
    say()
