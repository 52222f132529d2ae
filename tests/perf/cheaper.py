"""What makes a search cheaper, and what it costs in fitness: `python -m tests.perf.cheaper`; or: nox -s cheaper.

    python -m tests.perf.cheaper                                  # all ways to search, three seeds
    python -m tests.perf.cheaper --methods plain rungs --seeds 0
    python -m tests.perf.cheaper --table > cheaper.md             # search nothing: the table of what is there

    plain       CMA-ES, every candidate trained to the end: what the others are held against
    rungs       CMA-ES with successive halving over three rungs, a quarter going on
    two-rungs   over two
    warm        over three, from a warm start
    random      random search, every candidate trained to the end
    gradient    weights learned by gradient descent of the guide on held-out videos
    contrast    the same of whether two clips of a held-out video find each other
    uniform     no search: all weights 1/2

With rungs, and in random search, there are as many rounds as a fifth of the steps of `plain` pays for.

All search on the demo's heap under the same code, with smaller clips and networks than the demo's. The terms are the demo's
and seven more that are of less use, so that equal weights are not the best there is. Where candidates train too short to
learn anything (160 steps), the guide is noise and every way to search is as good as none.

A search's own best number is lucky. So each winner is trained again under seeds that no search saw, as long as a whole
candidate, and judged: by the guide, and by the accuracy of a linear classifier on labelled videos that no search saw either
(but `weak`, whose labels are those). Steps are all that a search trains: finalists, single terms and the learning of weights
included, but not what an update of weights costs on held-out videos.

A second start goes on where the first stopped; several processes may share one folder, each with `--threads 1`.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from elo_cli.config import resolve
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows import evolve
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.material import served_terms
from elo_cli.workflows.rungs import Rungs
from tests.perf.ranking import claimed, judged, material, train

FINALISTS, ETA = 2, 4
SIZE, WIDTH = 24, 8  # pixels of a clip, channels of the first stage
NAMES = {"zipf": "zipf standardize k=12 s=1 2σ²=1d²"}  # those of tests/perf/ranks.py, where they are not the entry's own
TERMS = (
    *resolve("demo", None, [], 0).objective.terms,
    "flow-to-rgb.distill.1",
    "flow-to-rgb.distill.2",
    "audio-to-rgb.distill.1",
    "audio-to-rgb.distill.4",
    "rgb.reconstruct",
    "rgb-to-audio.transfer",
    "rgb.cluster",
)
RUNGS = {"rungs": 3, "two-rungs": 2, "warm": 3}
METHODS = ("plain", *RUNGS, "random", "gradient", "contrast", "uniform")
LEARNED = ("gradient", "contrast")


def settings_of(given: argparse.Namespace, method: str, seed: int) -> Settings:
    """The settings of one search."""
    changes = [f"proxy.steps={given.steps}", f"pretrain.steps={given.steps}", f"machine.threads={given.threads}"]
    for section in ("proxy", "pretrain"):
        changes += [f"{section}.batch={given.batch}", f"{section}.clip.size={SIZE}", f"{section}.encoder.width={WIDTH}"]
    changes += ["preprocess.workers=1", "search.workers=1"]
    changes += [f"search.population={given.population}", f"search.rounds={given.rounds}", "proxy.checkpoint_every=1000000"]
    changes += [f"search.finalists={FINALISTS}", "search.repeats=1", f"fitness.measure={given.guide}"]
    changes += [f"objective.terms={json.dumps(given.terms)}", f"fitness.labelled={given.labelled}", *given.set]
    if method in RUNGS:
        rungs = Rungs.of(given.steps, RUNGS[method], ETA)
        before = len(given.terms) * rungs.steps[0] if method == "warm" else 0
        changes += [f"search.rungs={RUNGS[method]}", f"search.reduction={ETA}", f"search.warm_start={method == 'warm'}".lower()]
        changes += [f"search.rounds={affordable(given, rungs, before)}"]
    if method == "random":
        paid = affordable(given, Rungs.of(given.steps, 1, ETA), 0, population=1)
        changes += ["search.strategy=random", "search.rounds=1", f"search.population={max(2, paid)}"]
    if method in LEARNED:
        changes += ["search.strategy=gradient", f"search.held_out_objective={given.guide if method == 'gradient' else method}"]
    return resolve("demo", None, changes, seed)


def affordable(given: argparse.Namespace, rungs: Rungs, before: int, population: int | None = None) -> int:
    """How many rounds a fifth of the steps of `plain` pays for, finalists and what comes before included."""
    finals = FINALISTS * given.steps
    fifth = (given.rounds * given.population * given.steps + finals) // 5
    return max(1, (fifth - finals - before) // rungs.cost(population or given.population))


def search(given: argparse.Namespace, method: str, seed: int, heap: VideoSet, home: Path) -> dict[str, Any]:
    """Search, and return the winner's weights and the steps that were trained."""
    settings = settings_of(given, method, seed)
    terms, _ = served_terms(settings.objective, heap)
    if method == "uniform":
        return {"weights": LossWeights.uniform(terms, 0.5).to_names(), "steps": 0, "value": None}
    evolve.run(settings=settings, data=heap.root, out=home, fresh=False, watch=Unwatched())
    run, best = RunDirectory(home), json.loads((home / "result.json").read_text())["best"]
    steps = settings.proxy.steps if method in LEARNED else 0
    for journal in (run.evaluations, home / "single-terms" / "evaluations.jsonl"):
        steps += trained(Journal(journal).read(), settings)
    return {"weights": best["weights"], "steps": steps, "value": best["value"]}


def trained(rows: list[dict[str, Any]], settings: Settings) -> int:
    """Count the steps behind the rows of a journal."""
    rungs = Rungs.of(settings.proxy.steps, settings.search.rungs, settings.search.reduction)
    return sum(row["steps"] - rungs.before(row["rung"], row["repeat"]) for row in rows)


def winners(given: argparse.Namespace, place: Path, sets: tuple[VideoSet, VideoSet]) -> None:
    """Search and judge all that is missing and in nobody's hands."""
    for seed in given.seeds:
        for method in given.methods:
            name = f"{method}-{seed}"
            with claimed(place, name) as mine:
                if mine:
                    found = search(given, method, seed, sets[0], place / "searches" / name)
                    (place / f"{name}.json").write_text(json.dumps(found))
        for method in given.methods:
            found = json.loads(path.read_text()) if (path := place / f"{method}-{seed}.json").exists() else None
            for again in range(given.judges if found else 0):
                name = f"judge-{method}-{seed}-{again}"
                with claimed(place, name) as mine:
                    if mine:
                        settings = settings_of(given, "plain", seed)
                        settings = settings.model_copy(update={"seed": derive(seed, "judge", again)})
                        train(place, name, LossWeights.from_names(found["weights"], served_terms(settings.objective, sets[0])[0]),
                              settings, sets)  # fmt: skip
                        judged(place, name, given)


def show(given: argparse.Namespace, place: Path) -> None:
    """Print the table."""
    print(
        f"\n{given.rounds} rounds of {given.population}, {given.steps} steps; {given.judges} judging seeds; guide {given.guide}\n"
    )
    print("| search | seed | steps | of plain | its own best | the guide, judged | linear accuracy, judged |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for method in given.methods:
        for seed in given.seeds:
            names = [f"judge-{method}-{seed}-{again}" for again in range(given.judges)]
            if not all((place / f"{name}.json").exists() for name in names):
                continue
            found = json.loads((place / f"{method}-{seed}.json").read_text())
            plain = place / f"plain-{seed}.json"
            share = f"{100 * found['steps'] / json.loads(plain.read_text())['steps']:.0f}%" if plain.exists() else "-"
            all_judged = [judged(place, name, given) for name in names]
            sign = -1 if given.guide == "zipf" else 1  # scores are larger where better, and zipf's own number is not
            guide = [one.scores.get(NAMES.get(given.guide, given.guide)) for one in all_judged]
            told = (
                "-"
                if any(value is None for value in guide)
                else spread([sign * float(value) for value in guide if value is not None])
            )
            accuracy = spread([100 * one.accuracy["linear"] for one in all_judged])
            own = "-" if found["value"] is None else f"{found['value']:.4g}"
            print(f"| {method} | {seed} | {found['steps']} | {share} | {own} | {told} | {accuracy} |")


def spread(values: list[float]) -> str:
    """Mean and deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4g} ± {deviation:.2g}"


def main() -> None:
    """Search what is missing, and print the table of what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf" / "cheaper", metavar="DIR")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--terms", nargs="+", default=TERMS, help="what the searches weigh")
    parser.add_argument("--steps", type=int, default=300, help="of a whole candidate")
    parser.add_argument("--batch", type=int, default=16, help="clips of a step")
    parser.add_argument("--rounds", type=int, default=4, help="of plain")
    parser.add_argument("--population", type=int, default=8)
    parser.add_argument("--judges", type=int, default=2, help="seeds under which a winner is trained again")
    parser.add_argument(
        "--guide",
        default="zipf",
        choices=["zipf", "weak", "rankme"],
        help="the fitness that guides, and that winners are judged by",
    )
    parser.add_argument("--heap", type=int, default=300, help="videos without labels")
    parser.add_argument("--examples", type=int, default=20, help="labelled videos of each motion")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20, help="k-means runs of each measure")
    parser.add_argument("--table", action="store_true", help="search nothing")
    parser.add_argument("--set", nargs="+", default=[], help="settings, KEY=VALUE")
    given = parser.parse_args()
    given.restless, given.again = False, False
    given.labelled = given.work / f"calm-{given.heap}-{given.examples}" / "set-labelled"  # where `material` puts it
    place = given.work / f"{given.guide}-{len(given.terms)}-{given.steps}-{given.batch}-{given.rounds}-{given.population}"
    place.mkdir(parents=True, exist_ok=True)
    if not given.table:
        winners(given, place, material(given, settings_of(given, "plain", 0)))
    show(given, place)


if __name__ == "__main__":
    main()
