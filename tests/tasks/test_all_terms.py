"""Which terms exist under which settings, and tasks of a user's own package."""

import sys
from pathlib import Path

import pytest
import torch

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights
from elo_cli.tasks import all_terms
from tests.support.shards import OBJECTIVE, make_training, write_set

PLUGIN = '''
"""A task of somebody else's: the representation should have unit length."""

from elo_cli.core.clip import View
from elo_cli.core.weights import Term
from elo_cli.nets.distances import masked_mean
from elo_cli.nets.term import TermLoss


def terms(modalities, sites):
    return [Term("unit_length", (name,)) for name in modalities]


def build(term, parts):
    return UnitLength(View(term.modalities[0]))


class UnitLength(TermLoss):
    def __init__(self, view):
        super().__init__([view])
        self.view = view

    def forward(self, encoded, batch):
        return masked_mean((encoded[self.view].vector_BD.norm(dim=1) - 1).square(), batch.present[self.view.source])
'''


def names(**settings: object) -> list[str]:
    return [str(term) for term in all_terms(ObjectiveSettings.model_validate(settings))]


def test_the_terms_of_two_modalities_in_order() -> None:
    assert names(modalities=["flow", "rgb"], distill_sites=[2]) == [
        "rgb.aggregate",
        "flow.aggregate",
        "rgb-flow.align",
        "rgb.cluster",
        "flow.cluster",
        "flow-to-rgb.distill.2",
        "rgb-flow.embed",
        "rgb.predict",
        "flow.predict",
        "rgb.reconstruct",
        "flow.reconstruct",
        "rgb.reverse",
        "flow.reverse",
        "rgb.shuffle",
        "flow.shuffle",
        "rgb-to-flow.transfer",
        "flow-to-rgb.transfer",
    ]


def test_counts_with_all_modalities() -> None:
    listed = names()
    assert len(listed) == len(set(listed)) == 4 + 6 + 4 + 12 + 6 + 4 + 4 + 4 + 4 + 11
    assert "grey-to-rgb.transfer" in listed and "rgb-to-grey.transfer" not in listed


def test_patterns_choose_and_misses_are_said() -> None:
    assert names(terms=["rgb.*", "*.align"], modalities=["rgb", "audio"]) == [
        "rgb.aggregate", "rgb-audio.align", "rgb.cluster", "rgb.predict", "rgb.reconstruct", "rgb.reverse", "rgb.shuffle"
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"no term fits 'flow\.\*'") as caught:
        names(terms=["rgb.*", "flow.*"], modalities=["rgb"])
    assert "rgb.reverse" in caught.value.hint


@pytest.fixture
def users_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with a task of its own, as pip would."""
    site = tmp_path / "site"
    described = site / "unit_tasks-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: unit-tasks\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[elo_cli.tasks]\nunit-length = unit_length_task\n")
    (site / "unit_length_task.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))


TERM = "from elo_cli.core.weights import Term\ndef terms(modalities, sites): "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "its terms cannot be listed: AttributeError"),
        ("def terms(modalities, sites): return 1 / 0", "ZeroDivisionError"),
        ("def terms(modalities, sites): return ['rgb.unit_length']", "its terms cannot be listed"),
        (TERM + "return [Term('unit_length', ('depth',))]", "depth.unit_length reads what is not among rgb, grey, flow, audio"),
        (TERM + "return [Term('unit-length', ('rgb',))]", "the task of rgb.unit-length must be unit_length"),
        (TERM + "return [Term('unit_length', ('rgb',))] * 2", "it offers a term twice"),
        (TERM + "return [Term('unit_length', ('rgb', 'flow', 'audio'))]", "is not the name of a term"),
    ],
)
@pytest.mark.usefixtures("users_package")
def test_a_users_task_that_offers_nonsense_is_refused_by_name(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "unit_length_task.py").write_text(code)
    sys.modules.pop("unit_length_task", None)
    with pytest.raises(UsageError) as caught:
        all_terms(OBJECTIVE)
    assert said in caught.value.message
    sys.modules.pop("unit_length_task", None)


@pytest.mark.usefixtures("users_package")
def test_a_users_task_is_listed_and_trains(tmp_path: Path) -> None:
    offered = all_terms(OBJECTIVE)
    mine = [term for term in offered if term.task == "unit_length"]
    assert [str(term) for term in mine] == ["rgb.unit_length", "grey.unit_length", "flow.unit_length", "audio.unit_length"]
    videos = write_set(tmp_path / "set", videos=4)
    training = make_training(videos, LossWeights.from_names({"rgb.unit_length": 1.0}, offered), steps=2)
    before = [parameter.detach().clone() for parameter in training.objective.parameters()]
    assert [list(record.parts) for record in training.run(0)] == [["rgb.unit_length"]] * 2
    assert not any(torch.equal(one, other) for one, other in zip(before, training.objective.parameters(), strict=True))


def test_without_the_package_its_task_is_unknown() -> None:
    assert not [term for term in all_terms(OBJECTIVE) if term.task == "unit_length"]
