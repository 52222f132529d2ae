"""What `evolve` and `proxy-search` share: ask, evaluate, record, tell.

The journal is the checkpoint. A search that is started again rebuilds its strategy from the seed, tells it the
recorded scores, and goes on where it was. Candidates that were under way go on from checkpoints of their own.
"""

import functools
import inspect
from pathlib import Path
from typing import Any

from elo_cli.core.files import write_json
from elo_cli.core.search_settings import SearchSettings
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights
from elo_cli.run.directory import RunDirectory
from elo_cli.strategies import SHELF as STRATEGIES
from elo_cli.strategies import Strategy
from elo_cli.workflows.beginning import begin, begun, check_beginning, learns_weights, steps_before
from elo_cli.workflows.candidate import step_seconds
from elo_cli.workflows.contrast_checks import check_pairs
from elo_cli.workflows.course import Course
from elo_cli.workflows.evaluating import Evaluating
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.judging import check_fitness, labelled_fingerprint
from elo_cli.workflows.leaderboard import outcome, write_results
from elo_cli.workflows.material import (
    Material,
    about,
    check_clips,
    command_line,
    dataset_root,
    open_material,
    served_terms,
    spending,
)
from elo_cli.workflows.places import Places
from elo_cli.workflows.replaying import STORED, check_library, library_of
from elo_cli.workflows.rungs import Rungs
from elo_cli.workflows.search_pictures import draw_pictures

FREE = frozenset({STORED, "machine.loader_workers", "machine.threads", *(f"search.{name}" for name in SearchSettings.OPERATION)})


def make_strategy(settings: Settings, dimensions: int, **found: Any) -> Strategy:
    """Take the strategy that the settings name from its shelf; it gets those settings of `search` that it knows.

    Args:
        found: what was found out before the first round, such as the point to start from.
    """
    given = settings.search
    kind = STRATEGIES.take(given.strategy).Strategy
    known = inspect.signature(kind).parameters
    own = {key: value for key, value in given.model_dump().items() if key in known and key != "population"}
    strategy: Strategy = kind(dimensions, seed=derive(settings.seed, "search"), population=given.population, **own, **found)
    return strategy


def make_course(settings: Settings, dimensions: int, **found: Any) -> Course:
    """Lay out the course of a search: its strategy, its candidates, the rungs of their training, and the finalists.

    Args:
        found: as `make_strategy` has it.
    """
    given, strategy = settings.search, make_strategy(settings, dimensions, **found)
    rounds, lengths = (1, 1) if learns_weights(settings) else (given.rounds, given.rungs)
    rungs = Rungs.of(settings.proxy.steps, lengths, given.reduction)
    return Course(strategy, rounds * strategy.population, rungs, given.finalists, given.repeats)


def plan_search(settings: Settings, data: Path | None, out: Path) -> Outcome:
    """Say what a search would do; writes nothing."""
    material = open_material(dataset_root(settings, data))
    check_fitness(settings, material)
    check_beginning(settings, material)
    terms, lacking = served_terms(settings.objective, material.videos)
    check_clips(material, settings.proxy.clip)
    few = check_pairs(material, settings.proxy.clip, terms)
    course, given = make_course(settings, len(terms)), settings.search
    places = Places.of(settings)
    elsewhere = places.needs.gpus > 0  # on GPUs that this machine may not have
    each = None if elsewhere else step_seconds(LossWeights.uniform(terms), settings.proxy, settings, material)
    steps = course.steps + steps_before(settings, course.rungs, len(terms))
    seconds = None if each is None else each * steps
    result = {
        "terms": [str(term) for term in terms],
        "lacking": list(lacking),
        "pairs": few,
        "strategy": given.strategy,
        "rounds": course.rounds,
        "population": course.strategy.population,
        "candidates": course.candidates,
        "rungs": list(course.rungs.steps),
        "steps": steps,
        "workers": len(places.devices),
        "videos": len(material.videos.videos),
        "estimated_seconds": seconds,
        "out": str(out),
    }
    columns = ("strategy", "terms", "rounds", "candidates", "steps each", "workers", "videos", "time here", "into")
    row = (
        given.strategy,
        str(len(terms)),
        str(course.rounds),
        str(course.candidates),
        ", ".join(map(str, course.rungs.steps)),
        str(result["workers"]),
        str(result["videos"]),
        about(seconds),
        str(out),
    )
    return Outcome(result, (Table("The search would do", columns, (row,), note=few),))


def run_search(settings: Settings, data: Path | None, out: Path, fresh: bool, watch: Watch) -> Outcome:
    """Search to the end, or go on where an earlier run stopped.

    Raises:
        TrainingError: every candidate collapsed or diverged.
    """
    root = dataset_root(settings, data)
    material = open_material(root)
    check_fitness(settings, material)
    check_beginning(settings, material)
    terms, lacking = served_terms(settings.objective, material.videos)
    if lacking:
        watch.note(f"The preprocessed set has no {' and no '.join(lacking)}: the terms that read it are left out.")
    check_clips(material, settings.proxy.clip)  # before the directory is made, which binds to these settings
    if few := check_pairs(material, settings.proxy.clip, terms):
        watch.note(few)
    course = make_course(settings, len(terms))
    places = Places.of(settings)
    if not fresh:
        again = functools.partial(make_course, settings, len(terms), **begun(settings, out, terms))
        check_library(out, settings.search, again, terms, watch)
    stored = {**_stored(settings, material), "computed": places.computed}
    opened = RunDirectory.open(out, stored, command=command_line(), fresh=fresh, free=FREE, threads=places.threads)
    with spending() as spent, opened as run:
        for change in run.environment_changes:
            watch.warn(f"The environment changed since this run began: {change}")
        worker = _of_a_worker(settings, places)
        found = begin(settings, worker, material, run, terms, course.rungs, places, watch)
        course = make_course(settings, len(terms), **found)
        rows = Evaluating(worker, root, run, terms, course, watch).run(places)
        best = write_results(run, rows, terms, settings.search.strategy)
        draw_pictures(run, rows, best, terms)
        write_json(run.result, {"candidates": course.candidates, "best": best})
    # A method has a loss of its own, so that what was found must be named.
    named = "" if settings.method == "elo" else f" --method {settings.method} --loss {run.best_loss}"
    return outcome(run, rows, best, spent, f"elo pretrain{named}")


def _of_a_worker(settings: Settings, places: Places) -> Settings:
    """Say what a worker needs to know, which may stand in another directory."""
    fitness = settings.fitness
    if fitness.labelled is not None:
        fitness = fitness.model_copy(update={"labelled": str(Path(fitness.labelled).absolute())})
    return settings.model_copy(update={"machine": places.machine, "fitness": fitness})


def _stored(settings: Settings, material: Material) -> dict[str, Any]:
    """What must be the same when the search goes on."""
    dump = settings.model_dump(mode="json")
    kept = {key: dump[key] for key in ("seed", "objective", "proxy", "fitness", "search", "machine")}
    kept |= {"data": material.fingerprint, STORED: library_of(settings.search.strategy)}
    return {**kept, **labelled_fingerprint(settings)}
