"""How encoders are judged: one extraction for all measures, what is recorded, and what is refused before any training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.search_settings import FitnessSettings
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.fitness import FitnessReport, alpha_req, rankme, weak, zipf
from elo_cli.workflows import judging
from elo_cli.workflows.judging import Judgement, check_fitness, encoder_fitness, judge, measure
from elo_cli.workflows.material import Material, open_material
from tests.support.commands import SETTINGS, elo, files, write_film, write_films

MOTIONS = ("spin", "drift")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with an unlabelled and a labelled preprocessed set."""
    folder = tmp_path_factory.mktemp("judging")
    (folder / "elo.yaml").write_text(SETTINGS)
    write_films(folder / "videos", 10)
    for number in range(8):
        write_film(folder / "labelled" / MOTIONS[number % 2] / f"{number}.mp4", MOTIONS[number % 2], 100 + number)
    assert elo("preprocess videos", folder).exit_code == 0
    assert elo("preprocess labelled --out examples", folder).exit_code == 0
    return folder


def settings_of(home: Path, *changes: str) -> Settings:
    return resolve(None, None, [*changes, f"fitness.labelled={home / 'examples'}"], 0, home)


def judged(home: Path, settings: Settings) -> Judgement:
    encoder = build_encoder("rgb", settings.proxy.encoder, 0)
    return judge(encoder, settings.proxy.clip, opened(home), settings, Precision.choose(settings.machine))


def opened(home: Path) -> Material:
    return open_material(home / "elo" / "dataset")


def noise(rows: int, labels: str = "ab") -> Features:
    matrix = np.random.default_rng(0).standard_normal((rows, 12))
    return Features(matrix, tuple(map(str, range(rows))), tuple(labels[row % len(labels)] for row in range(rows)))


def test_a_measure_gets_the_settings_it_knows_and_no_others() -> None:
    given = FitnessSettings(clusters=5, exponent=0.5, runs=3, two_sigma_squared=2.0, scaling="rms", labelled_clusters=3)
    features, seed = noise(60), derive(7, "fitness")
    assert measure("zipf", features, given, 7) == zipf.measure(
        features, seed=seed, clusters=5, exponent=0.5, runs=3, two_sigma_squared=2.0, scaling="rms"
    )
    assert measure("weak", features, given, 7) == weak.measure(features, seed=seed, labelled_clusters=3, runs=3, scaling="rms")
    assert measure("rankme", features, given, 7) == rankme.measure(features, seed=seed)
    assert measure("alpha_req", features, given, 7) == alpha_req.measure(features, seed=seed)


def test_a_stranger_that_takes_any_settings_gets_all_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Stranger:
        @staticmethod
        def measure(features: Features, *, seed: int, **settings: Any) -> FitnessReport:
            seen.update(settings)
            return FitnessReport(1.0, larger_is_better=True)

    monkeypatch.setattr(judging.FITNESS, "take", lambda name: Stranger)
    measure("stranger", noise(5), FitnessSettings(), 0)  # type: ignore[call-arg]
    assert set(seen) == {"clusters", "exponent", "runs", "two_sigma_squared", "bandwidth", "scaling", "labelled_clusters"}


def test_one_extraction_of_the_videos_serves_all_measures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extracted: list[tuple[int, int]] = []
    real = judging.extract

    def counted(encoder: Any, reader: Any, videos: Any, **more: Any) -> Features:
        extracted.append((len(videos), more["views"].count))
        return real(encoder, reader, videos, **more)

    monkeypatch.setattr(judging, "extract", counted)
    judgement = judged(home, settings_of(home))
    assert extracted == [(10, 1)], "and the labelled set is left alone"
    assert list(judgement.recorded) == ["rankme", "alpha-req"]
    extracted.clear()
    judgement = judged(home, settings_of(home, "fitness.record=[rankme, weak, zipf, alpha_req]"))
    assert extracted == [(10, 1), (8, 1)]
    assert list(judgement.recorded) == ["rankme", "weak", "zipf", "alpha-req"]
    assert judgement.recorded["zipf"] is judgement.guide
    extracted.clear()
    judged(home, settings_of(home, "fitness.measure=weak", "fitness.record=[]"))
    assert extracted == [(8, 1)], "where labels guide alone, the heap is not looked at"


def test_recording_changes_nothing_of_the_guide(home: Path) -> None:
    alone, beside = (settings_of(home, f"fitness.record={record}") for record in ("[]", "[rankme, weak]"))
    assert judged(home, alone).guide == judged(home, beside).guide
    encoder = build_encoder("rgb", beside.proxy.encoder, 0)
    report = encoder_fitness(encoder, beside.proxy.clip, opened(home), beside, Precision.choose(beside.machine))
    assert report == judged(home, alone).guide


def test_recorded_values_are_null_where_there_is_none() -> None:
    guide = FitnessReport(1.0, larger_is_better=True)
    judgement = Judgement(
        guide, {"a": guide, "b": FitnessReport(0.0, True, "all rows are equal"), "c": FitnessReport(np.inf, False)}
    )
    assert judgement.recorded_values() == {"a": 1.0, "b": None, "c": None}
    zipf_too = FitnessReport(0.5, larger_is_better=False, details={"paper": 0.25})
    assert Judgement(zipf_too, {"a": guide}).recorded_values() == {"a": 1.0, "zipf-paper": 0.25}
    assert Judgement(guide, {"zipf": zipf_too}).recorded_values() == {"zipf": 0.5, "zipf-paper": 0.25}


@pytest.mark.parametrize("change", ["fitness.measure=weak", "fitness.record=[rankme, weak]"])
def test_labels_are_asked_for_before_any_training(home: Path, change: str) -> None:
    with pytest.raises(UsageError, match="needs a labelled set") as caught:
        check_fitness(resolve(None, None, [change], 0, home), opened(home))
    assert "fitness.labelled=" in caught.value.hint
    before = files(home)
    for more in ("", " --dry-run"):
        result = elo(f"evolve{more} --set", home, change.replace(" ", ""))
        assert result.exit_code == 2 and "needs a labelled set" in result.stderr
    assert files(home) == before, "nothing was begun"


def test_a_labelled_set_that_does_not_serve_is_refused_before_any_training(home: Path, tmp_path: Path) -> None:
    def refused(*changes: str) -> str:
        with pytest.raises((DataError, UsageError)) as caught:
            check_fitness(settings_of(home, "fitness.measure=weak", *changes), opened(home))
        assert caught.value.hint
        return caught.value.message

    assert refused("fitness.labelled_clusters=5").startswith("weak was asked for 5 clusters of 4 rows")
    bare = resolve(None, None, ["fitness.measure=weak", f"fitness.labelled={home / 'elo' / 'dataset'}"], 0, home)
    with pytest.raises(DataError, match="none of 10 rows has one"):
        check_fitness(bare, opened(home))
    with pytest.raises(DataError, match="not a preprocessed set"):
        check_fitness(bare.model_copy(update={"fitness": bare.fitness.model_copy(update={"labelled": "nowhere"})}), opened(home))
    assert elo(f"preprocess labelled --set preprocess.fps=4 --out {tmp_path / 'slow'}", home).exit_code == 0
    slow = bare.model_copy(update={"fitness": bare.fitness.model_copy(update={"labelled": str(tmp_path / "slow")})})
    with pytest.raises(DataError, match="4 frames per second") as caught:
        check_fitness(slow, opened(home))
    assert "preprocess.fps=8" in caught.value.hint


def test_what_cannot_be_measured_is_refused_as_guide_and_null_beside_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = settings_of(home, "fitness.videos=5", "fitness.measure=alpha-req", "fitness.record=[]")
    with pytest.raises(UsageError, match="too few for a law"):
        check_fitness(few, opened(home))
    beside = settings_of(home, "fitness.videos=5")
    check_fitness(beside, opened(home))
    assert judged(home, beside).recorded_values()["alpha-req"] is None


def test_clusters_and_names_are_checked(home: Path) -> None:
    with pytest.raises(UsageError, match=r"fitness\.clusters is 11, but there are only 10 videos") as caught:
        check_fitness(settings_of(home, "fitness.clusters=11"), opened(home))
    assert "--set fitness.clusters=2" in caught.value.hint
    check_fitness(settings_of(home, "fitness.clusters=11", "fitness.measure=rankme"), opened(home))
    with pytest.raises(UsageError, match="no fitness called 'rankm'") as caught:
        check_fitness(settings_of(home, "fitness.record=[rankm]"), opened(home))
    assert "Did you mean 'rankme'?" in caught.value.hint


def test_the_journal_holds_what_is_recorded(home: Path) -> None:
    more = ["--set", "fitness.record=[rankme,weak]", "--set", "fitness.labelled=examples"]
    line = "evolve --set search.rounds=1 --out weakly --set fitness.measure=weak"
    result = elo(line, home, *more)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in (home / "weakly" / "evaluations.jsonl").read_text().splitlines()]
    assert [row["measure"] for row in rows] == ["weak"] * 3
    for row in rows:
        assert row["details"]["recorded"]["weak"] == row["value"] == row["score"]
        assert 1 <= row["details"]["recorded"]["rankme"] <= 10.01
    board = json.loads((home / "weakly" / "leaderboard.json").read_text())
    assert board[0]["value"] == max(row["value"] for row in rows), "larger is better"
    write_film(home / "other" / MOTIONS[0] / "1.mp4", MOTIONS[0], 7)
    write_film(home / "other" / MOTIONS[0] / "2.mp4", MOTIONS[0], 8)
    write_film(home / "other" / MOTIONS[1] / "3.mp4", MOTIONS[1], 9)
    write_film(home / "other" / MOTIONS[1] / "4.mp4", MOTIONS[1], 10)
    assert elo("preprocess other --out examples --fresh", home).exit_code == 0
    refused = elo(line, home, "--set", "fitness.record=[rankme,weak]", "--set", "fitness.labelled=examples-2")
    assert refused.exit_code == 2 and "labelled" in refused.stderr, "another labelled set is another search"
