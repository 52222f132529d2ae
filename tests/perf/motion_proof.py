"""Is RGB that motion has taught better than RGB by itself? `python -m tests.perf.motion_proof FOLDER`.

The demo's videos, whose classes are motions and not looks; the preset modist-small, on small clips. For each seed MoDist
(`--method modist`) and its visual part alone (`--method contrastive`) are trained without labels on the heap, on clips of the
same videos for as many steps, and scored on the labelled videos beside an untrained encoder. A second start goes on where
the first stopped.

    python -m tests.perf.motion_proof FOLDER --seeds 0 1 2 --set pretrain.steps=2000 --threads 1
"""

import argparse
from pathlib import Path

import numpy as np

from elo_cli.config import resolve
from elo_cli.workflows import benchmark, preprocess, pretrain
from elo_cli.workflows.demo import EXAMPLES, HEAP, make_videos
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.representations import named_encoder

METHODS, PROTOCOLS = ("contrastive", "modist"), ("kmeans", "linear")
# The demo's rates and sizes: its scenes need no more.
SMALL = (
    "preprocess.fps=8",
    "preprocess.short_side=48",
    "preprocess.segment_seconds=4",
    "pretrain.clip.size=32",
    "pretrain.encoder.width=12",
    "pretrain.batch=24",
    "monitor.held_out=0",
)


def main() -> None:
    """Make, train, score, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    parser.add_argument("--threads", default="auto")
    arguments = parser.parse_args()
    root: Path = arguments.folder.absolute()
    make_videos(root / "videos", root / "labelled", 0, Unwatched(), number=HEAP, examples=EXAMPLES)
    found: dict[tuple[str, str], list[float]] = {}
    for seed in arguments.seeds:
        chosen = []
        for method in METHODS:
            given = [f"workspace={root / 'elo'}", f"machine.threads={arguments.threads}", *SMALL, *arguments.changes]
            settings = resolve("modist-small", None, [*given, f"method={method}"], seed, root)
            preprocess.run(settings=settings, source=root / "videos", out=root / "set", fresh=False, watch=Unwatched())
            out = root / f"{method}-{seed}"
            done = pretrain.run(settings=settings, data=root / "set", loss=None, out=out, fresh=False, watch=Unwatched())
            chosen.append(named_encoder(f"{method}={done.files['encoder']}"))
        labelled = benchmark.find(settings, "folder", root / "labelled")
        scored = benchmark.score(chosen, labelled, settings, root / f"scores-{seed}", fresh=False, watch=Unwatched())
        for line in scored.result["results"]:
            if line["protocol"] in PROTOCOLS:
                found.setdefault((line["representation"], line["protocol"]), []).append(100 * line["accuracy"])
        print(seed, {" ".join(key): round(values[-1], 1) for key, values in found.items()}, flush=True)
    print("\n| representation | k-means | linear |\n| --- | --- | --- |")
    for name in dict.fromkeys(name for name, _ in found):
        cells = (np.array(found.get((name, protocol), [np.nan])) for protocol in PROTOCOLS)
        print(
            f"| {name} |",
            " | ".join(f"{cell.mean():.1f} ± {cell.std(ddof=1) if len(cell) > 1 else 0.0:.1f}" for cell in cells),
            "|",
        )


if __name__ == "__main__":
    main()
