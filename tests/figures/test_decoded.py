"""What decoders make, drawn below what they should make."""

import numpy as np
import pytest
from PIL import Image

from elo_cli.figures.decoded import Decoded, decoded_block, decoded_sheet

RED, BLUE = np.array([220, 10, 10], np.uint8), np.array([10, 10, 220], np.uint8)


def clip(colour: np.ndarray, frames: int) -> np.ndarray:
    return np.broadcast_to(colour, (frames, 8, 8, 3))


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_the_target_is_above_and_what_is_decoded_below(frames: int) -> None:
    block = decoded_block(Decoded("rgb.predict", [(clip(RED, frames), clip(BLUE, frames)), None]))
    pixels = np.asarray(block)
    above, below = pixels[30:90, 5:60], pixels[105:165, 5:60]
    assert (above == RED).all() and (below == BLUE).all()
    assert not (pixels[30:, 240:] == RED).all(-1).any(), "the other clip lacks it"


def test_frames_are_the_first_the_middle_and_the_last() -> None:
    shades = np.stack([clip(np.full(3, 40 * number, np.uint8), 1)[0] for number in range(5)])
    pixels = np.asarray(decoded_block(Decoded("rgb.reconstruct", [(shades, shades)])))
    assert [int(pixels[60, left, 0]) for left in (30, 105, 180)] == [0, 80, 160]


def test_flow_and_sound_are_on_the_scale_of_the_target() -> None:
    flow = np.zeros((3, 8, 8, 2), np.float32)
    flow[..., 0] = 4.0
    pixels = np.asarray(decoded_block(Decoded("flow.reconstruct", [(flow, flow / 100)]))).astype(int)
    assert np.ptp(pixels[60, 30]) > 100 and np.ptp(pixels[130, 30]) < 10, "a hundredth of the motion has nearly no colour"
    tone = np.tile(np.linspace(-1, 1, 16, dtype=np.float32)[:, None], (1, 20))
    pixels = np.asarray(decoded_block(Decoded("audio.reconstruct", [(tone, np.full_like(tone, -1))]))).astype(int)
    assert pixels[28:96, 100].sum() > 2 * pixels[102:170, 100].sum(), "what is decoded is silent"


def test_many_blocks_make_two_columns() -> None:
    block = Image.new("RGB", (600, 100))
    one, two = (decoded_sheet([block] * count, "held-out clips", "after 5 steps") for count in (6, 7))
    assert two.width > 2 * 600 > one.width and two.height < one.height
