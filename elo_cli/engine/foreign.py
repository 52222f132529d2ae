"""Encoders from elsewhere: torchvision's weights of video and image networks, from a local file, as encoders of elo.

The keys and shapes in the file tell the network. Image networks are inflated (elo_cli/encoders/inflated_resnet.py). All
see clips of the same form, that of torchvision's video networks, so that their rows of a benchmark compare; except that
elo looks at the whole square in the middle of a frame, where torchvision crops 112 of its 128 rows.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor

from elo_cli.core.errors import UsageError
from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.encoders.inflated_resnet import inflate
from elo_cli.engine.export import GEOMETRY, LoadedEncoder, card_path, load_encoder, make_card
from elo_cli.engine.objective import build_encoder
from elo_cli.nets.state_files import StateFile, read_state

# How torchvision's video networks are used: `R3D_18_Weights.KINETICS400_V1`, its transforms and the notes in its meta.
FRAMES, STRIDE, FPS, SIZE, SHORT_SIDE = 16, 1, 15.0, 112, 128
_WIDTH = 64
_WRAPPERS = ("module.", "model.")  # of DataParallel, and of many a training script
_COUNTER = ".num_batches_tracked"  # older files lack it, and nothing that is computed here depends on it
_TERMS = "The weights come from elsewhere; the terms of who trained them, and of what they were trained on, apply."
_HINT = (
    "Give a file of weights (.pth or .safetensors) of torchvision's r2plus1d_18, r3d_18, mc3_18, resnet18, resnet34 or"
    " resnet50, or of elo export --format torchvision. An encoder of elo itself needs its card, the .json file, beside it."
)


class _Network(NamedTuple):
    """A network that is known: its name, and the encoder of elo that it is."""

    name: str
    architecture: str
    depth: int

    @property
    def settings(self) -> EncoderSettings:
        return EncoderSettings(architecture=self.architecture, depth=self.depth, width=_WIDTH)  # type: ignore[arg-type, call-arg]


class _Form(NamedTuple):
    """What must agree of a tensor."""

    shape: tuple[int, ...]
    floating: bool


_IMAGE = "inflated_resnet"
# Those that torchvision has weights for, and the other depths that elo exports.
_NETWORKS = (
    *(_Network(f"r2plus1d_{depth}", "r2plus1d", depth) for depth in (18, 10, 34, 50)),
    _Network("r3d_18", "r3d", 18),
    _Network("mc3_18", "mc3", 18),
    *(_Network(f"resnet{depth}", _IMAGE, depth) for depth in (18, 34, 50)),
)
_DATA = {(_IMAGE, 1000): "imagenet", ("r2plus1d", 400): "kinetics400", ("r3d", 400): "kinetics400", ("mc3", 400): "kinetics400"}


def load_any_encoder(path: str | Path) -> LoadedEncoder:
    """Load an encoder of elo, which has its card beside it, or else weights from elsewhere.

    Args:
        path: an `encoder.safetensors` with its card, the directory of a run that holds them, or a file for `load_foreign`.

    Raises:
        DataError: a file of elo is missing or damaged.
        UsageError: as `load_foreign`.
    """
    path = Path(path)
    return load_encoder(path) if path.is_dir() or card_path(path).exists() else load_foreign(path)


def load_foreign(path: str | Path) -> LoadedEncoder:
    """Load weights of torchvision's r2plus1d_18, r3d_18, mc3_18 or ResNets of images, or a file that elo exported so.

    Args:
        path: a .pth or .safetensors; nothing in it is executed. The classifier `fc` is left away.

    Returns:
        The encoder, on the CPU and in evaluation mode. The `origin` of its card says which data the weights seem to be of, by
        the size of the classifier: `kinetics400`, `imagenet` or `unknown`.

    Raises:
        UsageError: there is no such file, it cannot be read as tensors alone, or no network that is known has such tensors.
    """
    path = Path(path)
    state = read_state(path, hint=_HINT, nested=True)
    named = _unwrapped(state.tensors)
    tensors = {name: value for name, value in named.items() if not name.startswith("fc.")}
    network = _recognise(tensors, path)
    built = build_encoder("rgb", network.settings, seed=0)
    own = built.state_dict()
    if network.architecture == _IMAGE:
        tensors = inflate(tensors, {name: value.shape for name, value in own.items()})
    built.load_state_dict({name: value for name, value in own.items() if name.endswith(_COUNTER)} | tensors)
    card = _card(path, state, network, named.get("fc.weight"))
    return LoadedEncoder(path, built, card).eval()


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off what a wrapper put before every name; what is before some of them only stays."""
    named = dict(tensors)
    while named and (before := next((each for each in _WRAPPERS if all(name.startswith(each) for name in named)), None)):
        named = {name.removeprefix(before): value for name, value in named.items()}
    return named


@functools.cache
def _forms(network: _Network) -> dict[str, _Form]:
    """Return what the file of a network holds, without the classifier; takes no memory."""
    with torch.device("meta"):
        if network.architecture == _IMAGE:
            state = getattr(torchvision.models, network.name)(weights=None).state_dict()
        else:
            state = build_encoder("rgb", network.settings, 0).state_dict()
    return {name: _form(value) for name, value in state.items() if not name.startswith("fc.")}


def _form(tensor: Tensor) -> _Form:
    return _Form(tuple(tensor.shape), tensor.is_floating_point())


def _recognise(tensors: Mapping[str, Tensor], path: Path) -> _Network:
    """Find the network that has just these tensors."""
    found = {name: _form(value) for name, value in tensors.items()}
    wrong = {network: _wrong(_forms(network), found) for network in _NETWORKS}
    nearest = min(wrong, key=lambda network: len(wrong[network]))
    if not wrong[nearest]:
        return nearest
    wanted = _forms(nearest)
    missing, extra, other = (
        [name for name in wrong[nearest] if (name in wanted, name in found) == kind]
        for kind in ((True, False), (False, True), (True, True))
    )
    said = [f"{len(names)} {what}, {_listed(names)}" for what, names in (("missing", missing), ("too many", extra)) if names]
    if other:
        shapes = f"first {_short(other[0])}: {_told(found[other[0]])} and not {_told(wanted[other[0]])}"
        said.append(f"{len(other)} of another shape, {shapes}")
    raise UsageError(
        f"{str(path)!r} holds no network that elo knows; the nearest is {nearest.name}, of {len(wanted)} tensors:"
        f" {'; '.join(said)}.",
        hint=_HINT,
    )


def _wrong(wanted: Mapping[str, _Form], found: Mapping[str, _Form]) -> list[str]:
    """List the tensors that are missing, unknown or of another form, in the order of the network."""
    missing = [
        name for name, form in wanted.items() if found.get(name) != form and not (name.endswith(_COUNTER) and name not in found)
    ]
    return missing + [name for name in found if name not in wanted]


def _listed(names: list[str]) -> str:
    return "first " + ", ".join(map(_short, names[:3]))


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:59] + "…")


def _told(form: _Form) -> str:
    sizes = "×".join(map(str, form.shape[:8])) or "one number"
    return sizes + ("" if form.floating else " whole numbers")


def _card(path: Path, state: StateFile, network: _Network, classifier: Tensor | None) -> dict[str, Any]:
    trained = classifier is not None and classifier.dim() == 2 and bool(classifier.count_nonzero())
    data = _DATA.get((network.architecture, len(classifier)), "unknown") if trained and classifier is not None else "unknown"
    clip, fps, origin = _exported(path, state.notes) or (
        ClipSettings(frames=FRAMES, stride=STRIDE, size=SIZE),  # type: ignore[call-arg]
        FPS,
        {"short_side": SHORT_SIDE},
    )
    origin = {"method": "torchvision", "network": network.name, "file": path.name, "weights": data, **origin}
    return make_card(network.settings, clip, fps, origin) | {"licence": _TERMS, "sha256": state.sha256}


def _exported(path: Path, notes: Mapping[str, str]) -> tuple[ClipSettings, float, dict[str, Any]] | None:
    """Return the clips that an encoder of elo knows, their rate, and whence it came, if `elo export` wrote the file."""
    if notes.get("software") != "elo export":
        return None
    try:
        clip = ClipSettings.model_validate({name: notes[name] if name == "frame" else int(notes[name]) for name in GEOMETRY})
        fps, before = float(notes["fps"]), json.loads(notes["origin"])
        short_side = before["short_side"]
        if not (0 < fps <= 240 and type(short_side) is int and 8 <= short_side <= 2048):  # as in the settings
            raise ValueError(f"fps {fps:g}, short_side {short_side!r}")
        return clip, fps, {"short_side": short_side, "exported": {"sha256": notes["sha256"], "origin": before}}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{str(path)!r} says that elo export wrote it, but not which clips it is for: {error}",
            hint="Export the encoder anew with elo export --format torchvision.",
        ) from error
