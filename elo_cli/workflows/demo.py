"""`elo demo`: the whole pipeline on videos that it makes itself, or on a folder of yours.

It calls the workflows of the five commands one after the other, as a user would type them; each finds
what the one before it wrote. Run again after a stop, it goes on.
"""

from pathlib import Path

from elo_cli.core.errors import DataError, MachineError
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet
from elo_cli.engine.export import load_encoder
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.executors import Limits, Lost, Report
from elo_cli.executors.local import LocalPool
from elo_cli.prepare.motions import MOTIONS
from elo_cli.prepare.scenes import SceneJob, scene_jobs, write_scene, zipf_counts
from elo_cli.run.environment import processors
from elo_cli.workflows import benchmark, evolve, extract, preprocess, pretrain
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.judging import encoder_fitness
from elo_cli.workflows.material import dataset_root, open_material, spending
from elo_cli.workflows.representations import named_encoder

HEAP = 300  # videos without labels, their classes as frequent as Zipf's law says
EXAMPLES = 20  # labelled videos of each class, for the table
SECONDS = 4.0


def plan(*, settings: Settings, videos: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    root = out or Path("elo-demo")
    steps = settings.search.rounds * (settings.search.population or 0) * settings.proxy.steps + 2 * settings.pretrain.steps
    made = 0 if videos else HEAP + EXAMPLES * len(MOTIONS)
    result = {"made": made, "videos": str(videos or root / "videos"), "steps": steps, "out": str(root)}
    row = (str(made), str(steps), str(root))
    return Outcome(result, (Table("The demo would do", ("videos made", "training steps", "into"), (row,)),))


def run(*, settings: Settings, videos: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Run the demo.

    Args:
        videos: a folder of videos, or None to make some.
        out: the folder for everything; `elo-demo` by default.

    Raises:
        DataError: the folder holds no video.
    """
    root = out or Path("elo-demo")
    settings = settings.model_copy(update={"workspace": str(root / "elo")})
    with spending() as spent:
        if videos is None:
            watch.note(f"making {HEAP + EXAMPLES * len(MOTIONS)} videos of {len(MOTIONS)} motions")
            labelled_root: Path = root / "labelled"
            heap = root / "videos"
            make_videos(heap, labelled_root, settings.seed, watch)
        else:
            heap = labelled_root = videos
        pretrained = _five_commands(settings, heap, fresh, watch)
        labelled = _labels(settings, labelled_root)
        if labelled is None:
            table, result = _fitness_table(settings, pretrained, watch)
        else:
            _say(watch, f"elo benchmark folder --root {labelled_root}")
            place = Path(settings.workspace) / "benchmark-folder"
            chosen = [named_encoder(f"{name}={path}") for name, path in pretrained.items()]
            scored = benchmark.score(chosen, labelled, settings, place, fresh=fresh, watch=watch)
            table, result = scored.tables[0], dict(scored.result)
    files = {"everything": str(root), "encoder": str(pretrained["evolved loss"])}
    return Outcome(
        {**result, **spent.record(), "out": str(root)}, (table, spent.table()), files, "elo preprocess FOLDER_OF_YOUR_VIDEOS"
    )


def make_videos(
    heap: Path,
    labelled: Path,
    seed: int,
    watch: Watch,
    *,
    restless: bool = False,
    number: int = HEAP,
    examples: int = EXAMPLES,
) -> None:
    """Write the demo's videos: a heap of `number` under Zipf's law, and a labelled set of `examples` of each motion.

    What is there is kept.
    """
    counts = dict(zip(MOTIONS, zipf_counts(number, len(MOTIONS)), strict=True))
    jobs = scene_jobs(heap, counts, seed, seconds=SECONDS, restless=restless)
    jobs += scene_jobs(labelled, dict.fromkeys(MOTIONS, examples), seed + 1, seconds=SECONDS, restless=restless)
    missing = [job for job in jobs if not job.path.exists()]
    if not missing:
        return
    pool: LocalPool[SceneJob, Path] = LocalPool(make_video, processors(), Limits(item_seconds=120.0))
    watch.start("making videos", len(jobs), "video")
    done = len(jobs) - len(missing)
    for outcome in pool.results(watch.check, missing):
        if isinstance(outcome, Lost):
            raise MachineError(f"A process that makes videos ended: {outcome.story}.", hint="Is there enough memory?")
        done += 1
        watch.advance("making videos", done)
    watch.finish("making videos")


def make_video(job: SceneJob, report: Report) -> Path:
    """Write one scene in a worker process."""
    report(str(job.path))
    return write_scene(job)


def _five_commands(settings: Settings, heap: Path, fresh: bool, watch: Watch) -> dict[str, Path]:
    workspace = Path(settings.workspace)
    settings = settings.model_copy(update={"method": "elo"})  # it shows what a search found
    _say(watch, f"elo preprocess {heap}")
    preprocess.run(settings=settings, source=heap, out=None, fresh=fresh, watch=watch)
    settings = _fitting(settings, watch)
    _say(watch, "elo evolve --strategy cma-es")
    evolve.run(settings=settings, data=None, out=None, fresh=fresh, watch=watch)
    uniform = workspace / "pretrain-uniform"
    _say(watch, f"elo pretrain --loss uniform --out {uniform}")
    uniform_run = pretrain.run(settings=settings, data=None, loss="uniform", out=uniform, fresh=fresh, watch=watch)
    _say(watch, "elo pretrain")
    evolved = pretrain.run(settings=settings, data=None, loss=None, out=None, fresh=fresh, watch=watch)
    _say(watch, "elo extract-features")
    extract.run(settings=settings, source=None, encoder=None, out=None, fresh=fresh, watch=watch)
    return {"uniform loss": Path(uniform_run.files["encoder"]), "evolved loss": Path(evolved.files["encoder"])}


def _fitting(settings: Settings, watch: Watch) -> Settings:
    """Lower the number of clusters where a folder has too few videos for it; it is said."""
    videos = len(open_material(dataset_root(settings, None)).videos.videos)
    clusters = max(2, min(settings.fitness.clusters, videos // 4))
    if clusters == settings.fitness.clusters:
        return settings
    watch.note(f"{videos} videos are few: the fitness looks at {clusters} clusters instead of {settings.fitness.clusters}.")
    return settings.model_copy(update={"fitness": settings.fitness.model_copy(update={"clusters": clusters})})


def _say(watch: Watch, command: str) -> None:
    watch.note(f"$ {command}")


def _labels(settings: Settings, root: Path) -> LabelledSet | None:
    """The labelled set, or None where the folder has no labels to split by."""
    try:
        return benchmark.find(settings, "folder", root)
    except DataError:
        return None


def _fitness_table(settings: Settings, pretrained: dict[str, Path], watch: Watch) -> tuple[Table, dict[str, object]]:
    """Without labels: the fitness of each encoder's features."""
    settings = _fitting(settings, watch)
    material = open_material(dataset_root(settings, None))
    loaded = {name: load_encoder(path) for name, path in pretrained.items()}
    first = next(iter(loaded.values()))
    networks = {
        "untrained": build_encoder("rgb", first.architecture, settings.seed),
        **{name: one.network for name, one in loaded.items()},
    }
    precision = Precision.choose(settings.machine)
    rows, values = [], {}
    for name, network in networks.items():
        report = encoder_fitness(network, first.clip, material, settings, precision)
        values[name] = report.value
        rows.append((name, report.collapsed or f"{report.value:.4f}"))
    given = settings.fitness
    if given.measure == "zipf":
        note = f"{given.clusters} clusters, {given.runs} k-means runs, features {given.scaling}; smaller is better"
    else:
        note = "larger is better" if report.larger_is_better else "smaller is better"
    return Table("Fitness (there are no labels)", ("representation", given.measure), rows, note), {"fitness": values}
