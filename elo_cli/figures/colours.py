"""Flow and sound in colours.

Colours of the flow are those of the Middlebury wheel (S. Baker et al., "A Database and Evaluation Methodology for
Optical Flow", IJCV 2011), as torchvision draws them.

Shape legend: N frames, H rows, W columns.
"""

import matplotlib
import numpy as np
from PIL import Image

_LEAST_EDGE = 0.02  # edges below this are never drawn in full colour, likewise
_STILL_PX = 0.5  # motion shorter than this is never drawn in full colour: it may be noise


def full_colour(flow_NHW2: np.ndarray) -> float:
    """Choose the length in pixels that is drawn in full colour: what one vector of a hundred exceeds."""
    return max(_STILL_PX, float(np.percentile(np.hypot(flow_NHW2[..., 0], flow_NHW2[..., 1]), 99)))


def flow_colours(flow_NHW2: np.ndarray, full_px: float) -> np.ndarray:
    """Draw flow in colours: uint8 (N, H, W, 3); white is no motion, a vector of `full_px` or longer has full colour."""
    import torch  # seconds to import
    from torchvision.utils import flow_to_image

    flow_NHW2 = flow_NHW2.astype(np.float32)
    length_NHW1 = np.linalg.norm(flow_NHW2, axis=-1, keepdims=True)
    flow_NHW2 = flow_NHW2 * np.minimum(1.0, full_px / np.maximum(length_NHW1, np.float32(1e-12)))
    # torchvision's full colour is the longest vector that it gets: one more picture holds just that.
    longest_HW2 = np.broadcast_to(np.array([full_px, 0.0], np.float32), flow_NHW2.shape[1:])
    all_N2HW = torch.from_numpy(np.concatenate([flow_NHW2, longest_HW2[None]]).transpose(0, 3, 1, 2).copy())
    colours: np.ndarray = flow_to_image(all_N2HW)[:-1].permute(0, 2, 3, 1).contiguous().numpy()
    return colours


def edge_colours(edges_NHW3: np.ndarray) -> np.ndarray:
    """Draw edges of flow, uint8 (N, H, W, 3): red where its magnitude changes, green where its direction, blue both."""
    full = max(_LEAST_EDGE, float(np.percentile(edges_NHW3, 99)))
    colours: np.ndarray = (np.clip(edges_NHW3 / full, 0, 1) * 255).round().astype(np.uint8)
    return colours


def loudness(spectrogram: np.ndarray) -> tuple[float, float]:
    """Return what is quiet and what is loud in a spectrogram."""
    low, high = (float(bound) for bound in np.percentile(spectrogram.astype(np.float32), (1, 99.8)))
    return low, high


def sound_colours(spectrogram: np.ndarray, loud: tuple[float, float], least: float, size: tuple[int, int]) -> Image.Image:
    """Draw a spectrogram (mels, frames), low tones below.

    Args:
        loud: what is drawn darkest and brightest.
        least: how far these two are apart at least, so that noise is no pattern.
        size: width and height in pixels.
    """
    values = np.ascontiguousarray(spectrogram[::-1], np.float32)
    scaled = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
    share = np.clip((scaled - loud[0]) / max(loud[1] - loud[0], least), 0, 1)
    return Image.fromarray(np.ascontiguousarray(matplotlib.colormaps["magma"](share, bytes=True)[..., :3]))
