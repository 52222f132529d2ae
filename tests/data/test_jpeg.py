"""Frames and flow as JPEGs: small, near the original, alike for every decoder, and damage is named."""

import subprocess
import sys
from collections.abc import Callable

import av
import numpy as np
import pytest
import torch

from elo_cli.data import jpeg


def moving_picture(frames: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth waves of all colours that move; uint8 (T, H, W, 3)."""
    t, y, x = np.mgrid[:frames, :height, :width]
    waves = [np.sin((x + speed * t) / 5 + colour) * np.cos(y / (4 + colour)) for colour, speed in enumerate((1, 2, -1))]
    return (np.stack(waves, axis=-1) * 120 + 128).astype(np.uint8)


def moving_field(frames: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth field with every value from -127 to 127; int8 (T, H, W, 2)."""
    t, y, x = np.mgrid[:frames, :height, :width]
    field = np.stack([(x + t) / (width + frames - 2) * 2 - 1, y / (height - 1) * -2 + 1], axis=-1)
    return np.rint(field * 127).astype(np.int8)


def test_pictures_come_back_nearly_as_they_were() -> None:
    frames = moving_picture()
    coded, ends = jpeg.encode_frames(frames, 95)
    assert coded.dtype == np.uint8 and ends.dtype == np.int64 and ends.shape == (6,) and ends[-1] == len(coded)
    decoded = jpeg.decode_frames(coded, ends)
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous and decoded.flags.writeable
    error = np.abs(decoded.astype(int) - frames)
    # Half the resolution of chroma alone would cost 4 levels here, and exchanged colours 80.
    assert error.mean() < 1.3 and error.max() < 12
    assert len(coded) < frames.nbytes / 3


def test_flow_comes_back_nearly_as_it_was_and_to_its_ends() -> None:
    field = moving_field()
    assert field.min() == -127 and field.max() == 127
    decoded = jpeg.decode_flow(*jpeg.encode_flow(field, 95))
    assert decoded.dtype == np.int8 and decoded.shape == field.shape and decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - field).max() <= 4  # x and y exchanged, or a sign lost, would give 254


def test_better_quality_is_larger_and_nearer() -> None:
    frames = moving_picture()
    coded = [jpeg.encode_frames(frames, quality) for quality in (50, 75, 95)]
    errors = [np.abs(jpeg.decode_frames(*one).astype(int) - frames).mean() for one in coded]
    assert errors == sorted(errors, reverse=True) and len({len(one) for one, _ in coded}) == 3
    assert [len(one) for one, _ in coded] == sorted(len(one) for one, _ in coded)


def test_another_decoder_sees_the_same() -> None:
    frames = moving_picture()
    coded, ends = jpeg.encode_frames(frames, 90)
    for content, decoded in zip(np.split(coded, ends[:-1]), jpeg.decode_frames(coded, ends), strict=True):
        context = av.CodecContext.create("mjpeg", "r")
        (picture,) = [*context.decode(av.Packet(content.tobytes())), *context.decode(None)]
        assert picture.format.name == "yuvj444p"
        assert np.abs(picture.to_ndarray(format="rgb24").astype(int) - decoded).mean() < 0.5


BOTH = pytest.mark.parametrize(
    ("encode", "decode", "decode_on", "content"),
    [
        (jpeg.encode_frames, jpeg.decode_frames, jpeg.decode_frames_on, moving_picture()),
        (jpeg.encode_flow, jpeg.decode_flow, jpeg.decode_flow_on, moving_field()),
    ],
    ids=["frames", "flow"],
)
Encode = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@BOTH
@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
def test_torchvision_decodes_alike(encode: Encode, decode: Callable, decode_on: Callable, content: np.ndarray) -> None:
    coded, ends = encode(content, 90)
    assert torch.equal(decode_on("cpu", coded, ends), torch.from_numpy(decode(coded, ends)))


@BOTH
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
def test_a_gpu_decodes_nearly_alike(encode: Encode, decode: Callable, decode_on: Callable, content: np.ndarray) -> None:
    coded, ends = encode(content, 90)
    there = decode_on("cuda", coded, ends)
    assert there.is_cuda and there.dtype == torch.from_numpy(decode(coded, ends)).dtype
    assert np.abs(there.cpu().numpy().astype(int) - decode(coded, ends)).mean() < 1


@pytest.mark.parametrize("decode", [jpeg.decode_frames, jpeg.decode_flow])
def test_damage_is_named(decode: Callable) -> None:
    coded, ends = (jpeg.encode_frames if decode is jpeg.decode_frames else jpeg.encode_flow)(
        moving_picture() if decode is jpeg.decode_frames else moving_field(), 90
    )
    broken = coded.copy()
    broken[ends[1] : ends[1] + 20] = 0
    with pytest.raises(ValueError, match="JPEG 2 is none"):
        decode(broken, ends)
    huge = coded.copy()
    start = bytes(huge).index(b"\xff\xc0")  # the frame header: length, precision, height, width
    huge[start + 5 : start + 9] = 255
    with pytest.raises(ValueError, match="JPEG 0"):
        decode(huge, ends)
    other, _ = jpeg.encode_frames(moving_picture(1, 40, 64), 90)
    mixed = np.concatenate([coded[: ends[0]], other])
    with pytest.raises(ValueError, match="same shape"):
        decode(mixed, np.array([ends[0], len(mixed)]))


def test_reading_raw_shards_loads_neither_opencv_nor_torch() -> None:
    program = "import sys; import elo_cli.data.video_set; sys.exit(any(name in sys.modules for name in ('cv2', 'torch')))"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
