"""Every set with official lists: where it is looked for, and what is said where it is not."""

import importlib
import inspect
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF

OFFICIAL = tuple(name for name in SHELF.names() if name != "folder")


def refusal(name: str, root: Path | None, **options: bool) -> DataError:
    with pytest.raises(DataError) as caught:
        SHELF.take(name).find(root, seed=0, **options)
    return caught.value


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ELO_DATA", raising=False)


def test_the_shelf_lists_sets_and_not_what_they_share() -> None:
    assert {"folder", "hmdb51", "kinetics400", "ssv2", "ucf101"} <= set(SHELF.names())
    assert not [name for name in SHELF.names() if name.startswith(("_", "-"))]


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_missing_set_says_where_it_looked_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    error = refusal(name, None)
    for place in (name, f"elo/{name}", f"data/{name}"):
        assert str(tmp_path / "here" / place) in error.message
    assert "was not found" in error.message and "$ELO_DATA is not set" in error.message
    assert f"elo benchmark {name} --root DIR" in error.hint and "https://" in error.hint and "    DIR/" in error.hint
    assert error.exit_code == 3


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_variable_is_looked_at_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELO_DATA", str(tmp_path / "store"))
    message = refusal(name, None).message
    assert f"Looked in: {tmp_path / 'store' / name}, " in message
    assert "not set" not in message


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_a_root_is_the_only_place(name: str, allow_incomplete: bool, tmp_path: Path) -> None:
    for root in (tmp_path / "here", tmp_path / "nowhere"):
        message = refusal(name, root, allow_incomplete=allow_incomplete).message
        assert f"was not found. Looked in: {root}." in message
    (tmp_path / "file").touch()
    assert "was not found" in refusal(name, tmp_path / "file").message


@pytest.mark.parametrize("name", SHELF.names())
def test_entries_keep_the_contract(name: str) -> None:
    module = SHELF.take(name)
    parameters = inspect.signature(module.find).parameters
    assert list(parameters)[:3] == ["root", "seed", "allow_incomplete"]
    assert parameters["allow_incomplete"].default is False
    assert all(one.kind is one.KEYWORD_ONLY for one in list(parameters.values())[1:])
    assert all(one.default is not one.empty for one in list(parameters.values())[3:])


def test_a_set_is_found_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may be relative; of several places the first that holds the set is taken."""
    ssv2 = importlib.import_module("elo_cli.datasets.ssv2")
    monkeypatch.setattr(ssv2, "CLASSES", 1)
    monkeypatch.setattr(ssv2, "COUNTS", {"train": 1, "validation": 1})
    for place in ("store/ssv2", "data/something-something-v2"):
        folder = tmp_path / "here" / place
        folder.mkdir(parents=True)
        (folder / "labels.json").write_text('{"Holding something": "0"}')
        for kind, number in (("train", 1), ("validation", 2)):
            (folder / f"{kind}.json").write_text(f'[{{"id": "{number}", "template": "Holding [something]"}}]')
            (folder / f"{number}.webm").touch()
    assert ssv2.find(None, seed=0).root == tmp_path / "here/data/something-something-v2"
    monkeypatch.setenv("ELO_DATA", "store")
    assert ssv2.find(None, seed=0).root == tmp_path / "here/store/ssv2"
