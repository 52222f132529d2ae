"""An encoder and its card, written and loaded again; what Python users call."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import elo_cli
from elo_cli.core.clip import Source
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader
from elo_cli.data.transforms import RGB_MEAN, central_place, rgb
from elo_cli.workflows.material import open_material
from tests.support.commands import ROOT, SETTINGS, elo, write_films
from tests.support.encoders import some_clips, write_encoder

TWO_LINES = """
import sys
from safetensors.torch import load_file, save_file
import elo_cli
assert "elo_cli.engine" not in sys.modules
clips = load_file("clips.safetensors")["clips"]
encoder = elo_cli.load_encoder("elo/pretrain/encoder.safetensors")
features = encoder(clips)
save_file({"features": features}, "features.safetensors")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "run")


def test_two_lines_give_the_features_that_extraction_gives(tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text(SETTINGS)
    write_films(tmp_path / "videos", 3)
    write_encoder(tmp_path / "elo/pretrain")
    for line in ("preprocess videos", "extract-features --set extract.clips=2"):
        done = elo(line, tmp_path)
        assert done.exit_code == 0, done.stderr
    videos = open_material(tmp_path / "elo/dataset").videos
    reader = ClipReader(videos, ClipSettings(frames=4, stride=1, size=16))  # type: ignore[call-arg]
    clips = list(evaluation_views(reader, videos.videos, Source("rgb"), Views(2)))
    save_file({"clips": torch.cat(clips)}, tmp_path / "clips.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", TWO_LINES],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    features = load_file(tmp_path / "features.safetensors")["features"]
    expected = Features.load(tmp_path / "elo/features/features.safetensors").matrix_ND
    assert features.dtype == torch.float32 and features.shape == (6, 32)
    np.testing.assert_allclose(features.view(3, 2, 32).mean(1).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_elo_itself_loads_nothing_heavy() -> None:
    probe = (
        "import sys, elo_cli; assert elo_cli.__version__; print([n for n in ('torch', 'numpy', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert set(elo_cli.__all__) == {"__version__", "load_encoder"}
    with pytest.raises(AttributeError, match="no attribute 'load_encodr'"):
        _ = elo_cli.load_encodr  # type: ignore[attr-defined]


def test_a_run_is_as_good_as_its_file(path: Path) -> None:
    encoder, again = elo_cli.load_encoder(str(path)), elo_cli.load_encoder(path.parent)
    assert again.path == encoder.path == path and not encoder.training
    assert encoder.card["origin"]["short_side"] == 20 and encoder.clip.frames == 4 and encoder.architecture.depth == 10
    clips = some_clips(2)
    assert torch.equal(encoder(clips), again(clips))
    assert torch.equal(encoder(clips), encoder.network(clips).vector_BD)
    assert encoder(some_clips(1, size=23, frames=7)).shape == (1, 32), "other sizes are encoded too"


def test_raw_frames_become_a_clip(path: Path) -> None:
    encoder = elo_cli.load_encoder(path)
    frames = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
    clip = encoder.prepare(frames)
    assert clip.shape == (3, 6, 16, 16) and torch.equal(clip, rgb(frames, central_place(20, 30), 16))
    assert torch.equal(clip, encoder.prepare(torch.from_numpy(frames)))  # type: ignore[arg-type]
    grey = np.broadcast_to((255 * np.array(RGB_MEAN)).round().astype(np.uint8), (2, 8, 9, 3))
    assert encoder.prepare(grey).abs().max() < 0.01
    assert encoder(clip[None]).shape == (1, 32)


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_is_no_frames_is_said(path: Path, frames: np.ndarray) -> None:
    with pytest.raises(UsageError, match="Frames are uint8"):
        elo_cli.load_encoder(path).prepare(frames)


@pytest.mark.parametrize(
    "clips", [torch.zeros(3, 4, 16, 16), torch.zeros(1, 4, 16, 16, 3), torch.zeros(1, 3, 4, 16, 16, dtype=torch.uint8)]
)
def test_what_is_no_clip_is_said(path: Path, clips: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="takes clips") as caught:
        elo_cli.load_encoder(path)(clips)
    assert "encoder.prepare(frames)" in caught.value.hint


def change_card(path: Path, **changes: Any) -> None:
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def test_what_is_damaged_is_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="is not the file that its card describes"):
        elo_cli.load_encoder(path)
    path.write_bytes(content)
    for changes in ({"depth": 18}, {"width": 8}, {"depth": 17}, {"input": {}}, {"input": []}, {"sha256": None}):
        change_card(write_encoder(tmp_path / "other"), **changes)
        with pytest.raises(DataError):
            elo_cli.load_encoder(tmp_path / "other")
    for text in ("", "[]", "null", "{}"):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(DataError, match="cannot be loaded as an encoder"):
            elo_cli.load_encoder(path)
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="cannot be loaded as an encoder"):
            elo_cli.load_encoder(missing)
