"""The loss of a training: from a search, a file, one task alone, or drawn at random."""

from pathlib import Path

import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.run.journal import Journal
from elo_cli.tasks import all_terms
from elo_cli.workflows.loss_choice import choose_loss, offered, search_of
from tests.support.shards import OBJECTIVE

TERMS = all_terms(OBJECTIVE)
NAMES = {str(term) for term in TERMS}


def settings_of(folder: Path, seed: int = 0) -> Settings:
    return resolve("demo", None, [f"workspace={folder}"], seed)


def write_search(root: Path, measure: str = "zipf") -> Path:
    """What a finished search leaves, as far as it is read."""
    root.mkdir(parents=True)
    (root / "settings.yaml").write_bytes(dump_yaml({"search": {"strategy": "grid"}, "fitness": {"measure": measure}}).encode())
    for number in range(2):
        Journal(root / "evaluations.jsonl").append({"number": number})
    (root / "leaderboard.json").write_text("[]")
    (root / "best-loss.yaml").write_text("rgb.predict: 0.5\n")
    return root


def test_all_alike_and_some_alone(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    uniform = choose_loss(settings, "uniform", TERMS)
    assert set(uniform.weights.to_names().values()) == {1.0} and uniform.origin == {}
    alone = choose_loss(settings, "rgb.shuffle", TERMS)
    assert {name for name, weight in alone.weights.to_names().items() if weight} == {"rgb.shuffle"}
    assert set(alone.weights.to_names()) == NAMES
    embed = choose_loss(settings, "*.embed", TERMS).weights.to_names()
    assert {name for name, weight in embed.items() if weight} == {name for name in NAMES if name.endswith(".embed")}


def test_what_is_drawn_follows_from_seed_and_number(tmp_path: Path) -> None:
    def weights(seed: int, loss: str) -> dict[str, float]:
        chosen = choose_loss(settings_of(tmp_path, seed), loss, TERMS)
        assert chosen.origin == {"random": int(loss.partition(":")[2] or 0)}
        return chosen.weights.to_names()

    drawn = [weights(0, "random"), weights(0, "random:1"), weights(1, "random"), weights(0, "random:3")]
    assert weights(0, "random:0") == drawn[0]
    assert len({tuple(sorted(one.items())) for one in drawn}) == 4
    values = [value for one in drawn for value in one.values()]
    assert all(0 <= value <= 1 for value in values) and len(set(values)) == len(values)
    assert 0.3 < sum(values) / len(values) < 0.7


@pytest.mark.parametrize(
    ("loss", "words", "hint"),
    [
        ("rgb.shufle", "'rgb.shufle' is no loss file, and no term is called so", "rgb.shuffle"),
        ("unifrom", "no loss file", "uniform"),
        ("random:x", "no loss file", "random"),
        ("random:-1", "no loss file", "random"),
        ("none.yaml", "There is no loss file none.yaml", "--loss uniform"),
        ("no/where", "There is no loss file no/where", "--loss uniform"),
    ],
)
def test_what_is_no_loss_is_refused(tmp_path: Path, loss: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_loss(settings_of(tmp_path), loss, TERMS)
    assert words in caught.value.message and hint in caught.value.hint


def test_the_loss_of_a_search_says_which(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no evolved loss"):
        choose_loss(settings_of(tmp_path), None, TERMS)
    root = write_search(tmp_path / "evolve")
    told = {"search": {"strategy": "grid", "measure": "zipf", "evaluations": 2}}
    best = choose_loss(settings_of(tmp_path), None, TERMS)
    assert best.origin == told
    assert {name: weight for name, weight in best.weights.to_names().items() if weight} == {"rgb.predict": 0.5}
    assert choose_loss(settings_of(tmp_path), str(root / "best-loss.yaml"), TERMS).origin == told
    copy = tmp_path / "copy.yaml"
    copy.write_bytes((root / "best-loss.yaml").read_bytes())
    assert choose_loss(settings_of(tmp_path), str(copy), TERMS).origin == {}
    for name in ("leaderboard.json", "settings.yaml"):  # of another version, or none at all: a loss like any other
        kept = (root / name).read_bytes()
        (root / name).unlink()
        assert search_of(root / "best-loss.yaml") is None
        (root / name).write_bytes(kept)


def test_a_method_has_a_loss_of_its_own(tmp_path: Path) -> None:
    settings = settings_of(tmp_path).model_copy(update={"method": "modist"})  # its terms do not matter: they are a search's
    terms = all_terms(offered(settings, None))
    weights = choose_loss(settings, None, terms).weights.to_names()
    assert weights == dict.fromkeys(["rgb.contrast", "motion.contrast", "rgb-to-motion.contrast", "motion-to-rgb.contrast"], 1.0)
    baseline = settings.model_copy(update={"method": "contrastive"})
    assert [str(term) for term in choose_loss(baseline, None, terms).weights.active()] == ["rgb.contrast"]
    assert offered(settings, "uniform") is settings.objective
    with pytest.raises(UsageError, match=r"motion.contrast.*no flow"):
        choose_loss(settings, None, tuple(term for term in terms if "motion" not in term.modalities))
