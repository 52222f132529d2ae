"""What is scored has a name of its own, says what it is, and which row of the paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.engine.export import load_encoder
from elo_cli.workflows.representations import (
    Representation,
    check_names,
    named_encoder,
    named_features,
    row_of,
    untrained,
)
from tests.support.encoders import write_encoder

SEARCH = {"strategy": "cma-es", "measure": "zipf", "evaluations": 6}


@pytest.mark.parametrize(
    ("origin", "row"),
    [
        ({"method": "torchvision", "weights": "imagenet"}, "imagenet"),
        ({"method": "torchvision", "weights": "kinetics400"}, "kinetics"),
        ({"method": "torchvision", "weights": "other"}, None),
        ({"method": "none"}, "scratch"),
        ({"method": "elo", "random": 0, "loss": {"rgb.shuffle": 0.5}}, "random"),
        ({"loss": {"rgb.shuffle": 0.5, "rgb.predict": 0.0}}, "frame-shuffle"),
        ({"loss": {"rgb.reverse": 1}}, "reverse"),
        ({"loss": {"rgb-audio.align": 1}}, "audio-align"),
        ({"loss": {"rgb-to-flow.transfer": 1}}, "rgb-to-flow"),
        ({"loss": {"rgb.predict": 0.1}}, "predict"),
        ({"loss": {"rgb-flow.embed": 1, "rgb-audio.embed": 0.2}}, "joint-embedding"),
        ({"loss": {"rgb-flow.embed": 1, "rgb.predict": 0.2}}, None),
        ({"loss": {"rgb.predict": 0.0}}, None),
        ({}, None),
        ({"loss": {"rgb.predict": 1, "audio-to-rgb.distill.3": 0.1}, "search": SEARCH}, "elo"),
        ({"loss": {"rgb.predict": 1, "audio-to-rgb.distill.3": 0.0}, "search": SEARCH}, "elo-without-distillation"),
        ({"loss": {"rgb.predict": 1}, "search": SEARCH | {"measure": "weak"}}, "elo-weak"),
    ],
)
def test_a_card_tells_the_row(origin: dict[str, Any], row: str | None) -> None:
    assert row_of({"origin": origin}) == row


def test_names_are_given_or_follow_from_the_file(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "first")
    assert named_encoder(str(path)).name == "first"
    assert named_encoder(str(tmp_path / "first")).name == "first"
    given = named_encoder(f"mine={path}")
    assert (given.name, given.encoder is not None and given.encoder.path) == ("mine", path)
    odd = write_encoder(tmp_path / "a=b")
    assert named_encoder(str(odd)).name == "a=b"


def test_the_record_leads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_encoder(tmp_path / "first")  # its card says that nothing trained it: it is a file all the same
    monkeypatch.chdir(tmp_path)
    one = named_encoder("one=first")
    told = one.record()
    assert told == {"name": "one", "row": "scratch", "kind": "encoder", "sha256": one.digest, "path": str(path)}
    built = untrained(load_encoder(path), 3)
    assert built.record()["path"] is None and built.record()["sha256"] == built.digest != one.digest
    assert Representation("thumbnail", trivial="thumbnail").record()["kind"] == "trivial"


def test_an_untrained_network_follows_from_the_seed(tmp_path: Path) -> None:
    like = load_encoder(write_encoder(tmp_path / "first"))
    assert untrained(like, 1).digest == untrained(like, 1).digest != untrained(like, 2).digest
    found = untrained(like, 1).encoder
    assert found is not None and found.clip == like.clip and found.card["input"] == like.card["input"]
    assert found.card["origin"]["method"] == "none"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("one", "one"), "Two representations are called 'one'"),
        (("thumbnail",), "Two representations are called 'thumbnail'"),  # the baseline is one
        (("chance",), "Two representations are called 'chance'"),
        (("",), "'' cannot be the name"),
        ((".hidden",), "cannot be the name"),
        (("a/b",), "cannot be the name"),
    ],
)
def test_names_that_cannot_be_are_refused(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_names([Representation(name) for name in names])
    check_names([Representation("untrained"), Representation("one"), Representation("two")])


def test_features_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as caught:
        named_features(f"mine={tmp_path / 'none.safetensors'}")
    assert "elo extract-features" in caught.value.hint
    Features(np.ones((1, 2), np.float32), ("a",), (None,)).save(tmp_path / "f.safetensors")
    found = named_features(str(tmp_path / "f.safetensors"))
    assert found.name == "f" and found.row is None and found.record()["kind"] == "features"
