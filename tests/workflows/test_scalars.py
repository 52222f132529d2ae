"""Numbers for TensorBoard: what is written where it is installed, once however often a run is interrupted."""

import importlib.util
import json
import signal
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.weights import Term
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.scalars import of_round, of_row, open_scalars
from elo_cli.workflows.standing import Round
from tests.support.commands import elo, finish, start, write_home

ROUND = Round(3, 4, 1, 0.5, None, 0.25)
TERMS = tuple(map(Term.parse, ("rgb.reverse", "rgb.shuffle")))


class Writer:
    """Stands in for PyTorch's writer: a line of JSON for each number, in a file of TensorBoard's name."""

    def __init__(self, log_dir: str, purge_step: int, flush_secs: int) -> None:
        Path(log_dir).mkdir(exist_ok=True)
        path = Path(log_dir, f"events.out.tfevents.{len(list(Path(log_dir).iterdir()))}")
        self.stream = path.open("w")
        self.first = purge_step

    def add_scalar(self, tag: str, value: float, step: int, walltime: float | None) -> None:
        """Write one number."""
        assert step >= self.first
        self.stream.write(json.dumps([tag, step, value, walltime]) + "\n")

    def add_image(self, tag: str, picture: np.ndarray, step: int, dataformats: str) -> None:
        """Write the shape of one picture."""
        assert picture.dtype == np.uint8 and dataformats == "HWC"
        self.stream.write(json.dumps([tag, step, picture.shape, None]) + "\n")

    def flush(self) -> None:
        """Flush the file."""
        self.stream.flush()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it look as if TensorBoard were installed."""
    place = tmp_path / "site" / "tensorboard"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(place.parent)
    monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def written(folder: Path) -> list[tuple[str, int, float, float | None]]:
    return [tuple(json.loads(line)) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preprocessed set and settings of a tiny search."""
    return write_home(tmp_path_factory.mktemp("home"), 9)


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorboard").mkdir()  # a folder of this name is no library
    for path in ([], [str(tmp_path)]):
        monkeypatch.setattr(sys, "path", path)
        monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
        with open_scalars(tmp_path / "out", Unwatched()) as given:
            given.add(0, {"a": 1.0})
            given.flush()
        assert not (tmp_path / "out").exists()


def test_one_that_fails_is_a_warning_and_no_more(installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watcher(Unwatched):
        def warn(self, message: str) -> None:
            warnings.append(message)

    warnings: list[str] = []
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.ModuleType("torch.utils.tensorboard"))
    with open_scalars(tmp_path / "out", Watcher()) as given:
        given.add(0, {"a": 1.0})
    [warning] = warnings
    assert "cannot be used" in warning and "ImportError" in warning and "To mend it" in warning


def test_numbers_are_written_and_written_anew(installed: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(2):
        with open_scalars(out, Unwatched()) as given:
            given.add(number, {"a": 0.5, "b": None}, 12.0)
        assert written(out) == [("a", number, 0.5, 12.0)]
    with open_scalars(out, Unwatched(), first=2) as given:
        given.add(2, {"a": 1.5})
    assert written(out) == [("a", 1, 0.5, 12.0), ("a", 2, 1.5, None)]


def test_what_is_said_of_a_measurement_and_of_a_round() -> None:
    class Strategy:
        population = 4

        def state(self) -> dict[str, float]:
            return {"sigma": 0.3}

        def mean(self) -> np.ndarray | None:
            return np.array([0.25, 0.75]) if self.population else None

    assert of_row({"steps": 9, "repeat": 0, "value": 1.5}) == {"candidate/after-9-steps": 1.5}
    assert of_row({"steps": 9, "repeat": 2, "value": None}) == {"candidate/again-2": None}
    strategy: Any = Strategy()
    named = of_round(ROUND, strategy, TERMS)
    figures = {"round/best": 0.5, "round/mean": None, "round/spread": 0.25, "round/failed": 1.0, "strategy/sigma": 0.3}
    assert named == figures | {"mean/rgb.reverse": 0.25, "mean/rgb.shuffle": 0.75}
    strategy.population = 0
    assert of_round(ROUND, strategy, TERMS) == figures


def test_an_interrupted_search_has_every_number_once(installed: None, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = f"evolve --set search.workers=1 --out {out}"
    code, _, _ = finish(start(line, home, die_at="open:evaluations.jsonl:5"))
    assert code == -signal.SIGKILL
    for _ in range(2):  # it goes on; and when it is done, all is there to be written again
        result = elo(line, home)
        assert result.exit_code == 0, result.stderr
        found = written(out / "tensorboard")
        assert set(Counter((name, step) for name, step, *_ in found).values()) == {1}
        values = {step: value for name, step, value, _ in found if name == "candidate/after-2-steps"}
        rows = [json.loads(row) for row in (out / "evaluations.jsonl").read_text().splitlines()]
        assert values == {row["number"]: row["value"] for row in rows if row["value"] is not None}
        assert {step for name, step, *_ in found if name == "round/failed"} == {0, 1}
        assert {name.split("/")[0] for name, *_ in found} == {"candidate", "round", "strategy", "mean"}
        logged = [json.loads(entry) for entry in (out / "log.jsonl").read_text().splitlines()]
        times = {entry["number"]: entry["time"] for entry in logged if "rung" in entry}
        assert all(when == times[step] for name, step, _, when in found if name.startswith("candidate"))


def test_a_training_tells_its_loss_its_parts_its_rate_and_what_it_sees(
    installed: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "--set monitor.held_out=0.9 --set objective.terms=[rgb.reconstruct,rgb.reverse] --set monitor.every=3"
    monkeypatch.setattr("elo_cli.workflows.monitoring.FEWEST", 6)
    result = elo(f"pretrain --loss uniform --out {tmp_path / 'out'} {many}", home)
    assert result.exit_code == 0, result.stderr
    found = written(tmp_path / "out" / "tensorboard")
    logged = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in logged if "step" in line]
    assert [(step, value) for name, step, value, _ in found if name == "loss"] == [(line["step"], line["loss"]) for line in steps]
    curve = {f"held-out/{name}" for name in ("zipf", "rankme", "alpha-req")}
    names = {"loss", "lr", *(f"parts/{name}" for name in steps[-1]["parts"]), *curve, "decoded/rgb.reconstruct"}
    assert {name for name, *_ in found} == names
    pictures = [(step, shape) for name, step, shape, _ in found if name.startswith("decoded")]
    assert [step for step, _ in pictures] == [3, 6, 8] and all(shape[2] == 3 for _, shape in pictures)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed (the extra tensorboard)"
)
def test_tensorboard_reads_what_is_written_and_passes_over_what_was_done_twice(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "out"
    for first, steps in ((1, range(1, 6)), (4, range(4, 8))):
        with open_scalars(out, Unwatched(), first=first) as given:
            for step in steps:
                given.add(step, {"loss": 10.0 * first + step}, 5.0)
    reader = EventAccumulator(str(out)).Reload()
    assert [(event.step, event.value, event.wall_time) for event in reader.Scalars("loss")] == [
        (step, (10.0 if step < 4 else 40.0) + step, 5.0) for step in range(1, 8)
    ]
    with open_scalars(out, Unwatched()) as given:
        given.add(0, {"best": 1.0})
    assert EventAccumulator(str(out)).Reload().Tags()["scalars"] == ["best"]
