"""One film twice, from a tripod and from a camera that pans: what the picture of docs/modist.md is made from.

python -m tests.perf.panning FOLDER
elo preprocess FOLDER --out SET --set preprocess.short_side=128 --set preprocess.flow=dis-medium --set preprocess.audio=false
elo dataset sample SET --motion --clips 2 --out docs/motion.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from elo_cli.prepare.encode import write_video
from elo_cli.prepare.scenes import render_scene

FRAMES, SIZE, SPEED = 32, (144, 256), 6  # pixels that the camera goes in a frame


def films(folder: Path) -> list[Path]:
    """Write both."""
    random = np.random.default_rng(4)
    wide = SIZE[1] + SPEED * FRAMES
    rough = random.integers(0, 256, (SIZE[0] // 6, wide // 6, 3), np.uint8)
    wall = Image.fromarray(rough).resize((wide, SIZE[0]), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1.5))
    scenes = [render_scene("orbit", 5, size=SIZE, fps=16, seconds=FRAMES / 16).frames_THWC]
    still = np.median(scenes[0], axis=0, keepdims=True)  # what does not move
    moves = (np.abs(scenes[0].astype(int) - still).max(-1, keepdims=True) > 40).astype(np.uint8)
    paths = []
    for name, speed in (("1-tripod", 0), ("2-panning", SPEED)):
        ground = np.stack([np.asarray(wall)[:, speed * number : speed * number + SIZE[1]] for number in range(FRAMES)])
        frames = ground * (1 - moves) + scenes[0] * moves
        paths.append(write_video(folder / f"{name}.mp4", frames.astype(np.uint8), fps=16) or folder / f"{name}.mp4")
    return paths


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    films(Path(sys.argv[1]))
