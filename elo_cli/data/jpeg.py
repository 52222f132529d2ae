"""Frames and flow as JPEGs, for sets too large to be stored raw.

A picture is a baseline JPEG with chroma at full resolution (4:4:4). On UCF101 at 128 rows and quality
90 that is 8.5 times smaller than raw at 41.0 dB; chroma at half resolution (4:2:0) would be 10.2 times
smaller at 39.0 dB, which quality 85 with full chroma gives as well. But decoders differ in how they
enlarge chroma: libjpeg-turbo and FFmpeg disagree by 0.87 levels in the mean, and by 0.05 on 4:4:4.
Flow is a grey JPEG of (2H, W), x over y, of the stored int8 + 128: 14 times smaller than raw; its mean
end-point error grows from 0.014 to 0.022 pixels. Both together are 11 times smaller.

OpenCV decodes on the processor. torchvision does so bit for bit alike, but announces the end of its
decoders (0.29), and would need torch; it is used where only it can: on a GPU.

Shape legend: T frames, H rows, W columns.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from elo_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

_SHIFT = 128  # from int8 to the grey of a JPEG


def encode_frames(rgb_THWC: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Code frames one by one, so that each can be read alone.

    Args:
        rgb_THWC: (T, H, W, 3) uint8, T >= 1.
        quality: of the JPEGs, 1 to 100.

    Returns:
        All JPEGs one after another, uint8 (bytes); and where each ends, int64 (T).
    """
    import cv2  # here and below: raw shards are read without it

    return _encode((cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in rgb_THWC), quality)


def encode_flow(stored_THWC: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Code stored flow, int8 (T, H, W, 2), as `encode_frames` does pictures."""
    shifted_THWC = stored_THWC.view(np.uint8) ^ _SHIFT  # + 128 in two's complement
    return _encode((np.concatenate([frame[..., 0], frame[..., 1]]) for frame in shifted_THWC), quality)


def decode_frames(coded: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Decode what `encode_frames` made: uint8 (T, H, W, 3).

    Raises:
        ValueError: a JPEG is damaged, or they differ in size.
    """
    import cv2

    return np.stack([cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in _decode(coded, ends, cv2.IMREAD_COLOR)])


def decode_flow(coded: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Decode what `encode_flow` made: int8 (T, H, W, 2).

    Raises:
        ValueError: a JPEG is damaged, or they differ in size.
    """
    import cv2

    grey_THW = np.stack(_decode(coded, ends, cv2.IMREAD_GRAYSCALE))
    stored_T2HW = (grey_THW ^ _SHIFT).view(np.int8).reshape(len(grey_THW), 2, -1, grey_THW.shape[2])
    return np.ascontiguousarray(stored_T2HW.transpose(0, 2, 3, 1))


def decode_frames_on(device: str, coded: np.ndarray, ends: np.ndarray) -> "torch.Tensor":
    """Decode what `encode_frames` made on a device, such as `cuda`: uint8 (T, H, W, 3) there.

    Raises:
        MachineError: torchvision cannot decode there.
        RuntimeError: a JPEG is damaged.
    """
    return _decode_on(device, coded, ends, "RGB").permute(0, 2, 3, 1)


def decode_flow_on(device: str, coded: np.ndarray, ends: np.ndarray) -> "torch.Tensor":
    """Decode what `encode_flow` made on a device, such as `cuda`: int8 (T, H, W, 2) there.

    Raises:
        MachineError: torchvision cannot decode there.
        RuntimeError: a JPEG is damaged.
    """
    import torch

    grey_THW = _decode_on(device, coded, ends, "GRAY")[:, 0]
    frames, rows, columns = grey_THW.shape
    return (grey_THW ^ _SHIFT).view(torch.int8).reshape(frames, 2, rows // 2, columns).permute(0, 2, 3, 1)


def _encode(pictures: Iterable[np.ndarray], quality: int) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    coded = [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality, *chroma])[1] for picture in pictures]
    return np.concatenate(coded), np.cumsum([len(one) for one in coded], dtype=np.int64)


def _decode(coded: np.ndarray, ends: np.ndarray, mode: int) -> list[np.ndarray]:
    import cv2

    pictures = []
    for number, content in enumerate(np.split(coded, ends[:-1])):
        try:
            picture = cv2.imdecode(content, mode)
        except cv2.error as error:  # it promises more pixels than OpenCV takes
            raise ValueError(f"JPEG {number}: {error}") from error
        if picture is None:
            raise ValueError(f"JPEG {number} is none")
        pictures.append(picture)
    return pictures


def _decode_on(device: str, coded: np.ndarray, ends: np.ndarray, mode: str) -> "torch.Tensor":
    import torch

    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError as error:
        raise MachineError(
            f"This torchvision has no decoder of JPEGs: {error}.", hint="Install an older one, or decode on the processor."
        ) from error
    pictures = list(torch.from_numpy(coded).tensor_split(torch.from_numpy(ends[:-1])))
    return torch.stack(decode_jpeg(pictures, mode=ImageReadMode[mode], device=device))
