"""What an encoder can be converted to: torchvision's keys, ONNX, and a program of `torch.export`.

Each format writes one file, reads it back as a function from clips to features, and knows a file of its own by
a mark in it, so that nothing else is ever written over. Nothing here is TorchScript.
"""

import io
import json
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Bottleneck, Conv2Plus1D, R2Plus1dStem, VideoResNet

from elo_cli.core.errors import MachineError, UsageError
from elo_cli.engine.export import LoadedEncoder, classifier
from elo_cli.nets.blocks import STAGES

Function = Callable[[Tensor], Tensor]  # clips (B, 3, T, H, W) → features (B, D)

_DESCRIPTION = "elo.json"
_OF_CARD = ("architecture", "depth", "width", "origin", "sha256", "licence")
_OF_INPUT = ("frames", "stride", "fps", "size", "frame", "mean", "deviation")
_LONGEST = 2**24  # bytes of a description: no loss is so long
_MARK = {"software": "elo export"}
_ONE_FILE = 2**31 - 2**24  # bytes of weights in one file of ONNX: Protocol Buffers end at 2 GiB, and the graph needs room


class Format(ABC):
    """One way to write an encoder.

    Attributes:
        name: what it is called on the command line.
        ending: of its files.
        default: what takes the place of `.safetensors` in the name of an encoder.
        beside: what is added to the name of a file for a second one, if there may be one.
    """

    name: str
    ending: str
    default: str
    beside = ""

    @abstractmethod
    def require(self, encoder: LoadedEncoder) -> None:
        """Raise a `UsageError` if an encoder cannot be written so, and a `MachineError` if a package is missing."""

    @abstractmethod
    def write(self, encoder: LoadedEncoder, path: Path) -> None:
        """Write the file, which need not be atomic."""

    @abstractmethod
    def read(self, path: Path, encoder: LoadedEncoder) -> Function:
        """Read back what `write` has just written of this encoder, the way its users will."""

    @abstractmethod
    def usage(self, path: Path, encoder: LoadedEncoder) -> str:
        """Return the lines of Python that load the file."""

    @abstractmethod
    def marks(self, path: Path) -> dict[str, str]:
        """Return what any file says of itself, without running anything of it; nothing if it is of another kind."""


class Torchvision(Format):
    """The parameters under the names of torchvision's `VideoResNet`, its classifier as zeros."""

    name, ending, default = "torchvision", ".safetensors", "-torchvision.safetensors"

    def require(self, encoder: LoadedEncoder) -> None:
        """Refuse networks that torchvision has no parts for."""
        given = encoder.architecture
        if given.architecture != "r2plus1d" or given.width != 64:
            raise UsageError(
                f"torchvision has no network for {given.architecture} of width {given.width}: its stem is that of width 64.",
                hint="Take --format onnx or torch-export, or train with encoder.architecture=r2plus1d and encoder.width=64.",
            )

    def write(self, encoder: LoadedEncoder, path: Path) -> None:
        """Write a safetensors file."""
        tensors = {name: value.contiguous() for name, value in encoder.network.state_dict().items()}
        path.write_bytes(save(tensors | classifier(_block(encoder).expansion * 512), described(encoder)))

    def read(self, path: Path, encoder: LoadedEncoder) -> Function:
        """Load torchvision's network, its classifier left away."""
        network = VideoResNet(_block(encoder), [Conv2Plus1D] * 4, list(STAGES[encoder.architecture.depth]), R2Plus1dStem)
        network.load_state_dict(load_file(path), strict=True)
        network.fc = nn.Identity()
        function: Function = network.eval()
        return function

    def usage(self, path: Path, encoder: LoadedEncoder) -> str:
        """Use the stock model where there is one, and torchvision's parts elsewhere."""
        if encoder.architecture.depth == 18:
            source, made = "torchvision.models.video import r2plus1d_18", "r2plus1d_18()"
        else:
            block, layers = _block(encoder).__name__, list(STAGES[encoder.architecture.depth])
            source = f"torchvision.models.video.resnet import {block}, Conv2Plus1D, R2Plus1dStem, VideoResNet"
            made = f"VideoResNet({block}, [Conv2Plus1D] * 4, {layers}, R2Plus1dStem)"
        return (
            f"from safetensors.torch import load_file\nfrom {source}\nmodel = {made}\n"
            f"model.load_state_dict(load_file({str(path)!r}))  # fc is zeros: nothing trained it"
        )

    def marks(self, path: Path) -> dict[str, str]:
        """Read the header."""
        try:
            with safe_open(path, "pt") as opened:
                return dict(opened.metadata() or {})
        except (OSError, SafetensorError):
            return {}


class TorchExport(Format):
    """A program of `torch.export`, for any number of clips at a time."""

    name, ending, default = "torch-export", ".pt2", ".pt2"

    def require(self, encoder: LoadedEncoder) -> None:
        """Take any encoder: PyTorch is there."""

    def write(self, encoder: LoadedEncoder, path: Path) -> None:
        """Write an archive of the program and its weights."""
        archive = io.BytesIO()  # PyTorch's own writer has no words for a full disk
        torch.export.save(_program(encoder), archive, extra_files={_DESCRIPTION: json.dumps(described(encoder))})
        path.write_bytes(archive.getbuffer())

    def read(self, path: Path, encoder: LoadedEncoder) -> Function:
        """Load the program."""
        # It may unpickle, and so run what a stranger put there. Only what this process has just written, in a folder
        # that nobody else may enter, is ever read so.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)  # of torch 2.10 itself
            function: Function = torch.export.load(path).module()
        return function

    def usage(self, path: Path, encoder: LoadedEncoder) -> str:
        """It needs PyTorch alone."""
        return f"import torch\nencoder = torch.export.load({str(path)!r}).module()\nfeatures = encoder(clips)"

    def marks(self, path: Path) -> dict[str, str]:
        """Read the description, as from any zip file."""
        try:
            with zipfile.ZipFile(path) as archive:
                [name] = [name for name in archive.namelist() if name.endswith(f"/extra/{_DESCRIPTION}")]
                with archive.open(name) as stream:
                    return _texts(json.loads(stream.read(_LONGEST)))
        except (OSError, ValueError, RuntimeError, NotImplementedError, RecursionError, zipfile.BadZipFile):
            return {}


class Onnx(Format):
    """A graph of ONNX: `clips` in, `features` out, for any number of clips at a time."""

    name, ending, default, beside = "onnx", ".onnx", ".onnx", ".data"

    def require(self, encoder: LoadedEncoder) -> None:
        """Ask for the packages that write and check it."""
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise MachineError(f"ONNX needs a package that is missing: {error}.", hint="pip install 'elo-cli[onnx]'") from error

    def write(self, encoder: LoadedEncoder, path: Path) -> None:
        """Write the graph, and beside it, where one file cannot hold them, the weights."""
        program = torch.onnx.export(
            _program(encoder),
            (),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            input_names=["clips"],
            output_names=["features"],
            verbose=False,
        )
        assert program is not None
        program.model.producer_name = "elo"
        program.model.metadata_props.update(described(encoder))
        if sum(value.nbytes for value in encoder.state_dict().values()) > _ONE_FILE:
            program.save(path, external_data=True)
        else:
            path.write_bytes(program.model_proto.SerializeToString())

    def read(self, path: Path, encoder: LoadedEncoder) -> Function:
        """Open the graph with ONNX Runtime, on the processor."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda clips: torch.from_numpy(session.run(["features"], {"clips": clips.numpy()})[0])

    def usage(self, path: Path, encoder: LoadedEncoder) -> str:
        """It needs ONNX Runtime, or any other program that reads ONNX."""
        return (
            f"import onnxruntime\nsession = onnxruntime.InferenceSession({str(path)!r})\n"
            '[features] = session.run(["features"], {"clips": clips})'
        )

    def marks(self, path: Path) -> dict[str, str]:
        """Read the graph's metadata."""
        import onnx
        from google.protobuf.message import DecodeError

        try:
            properties = onnx.load(path, load_external_data=False).metadata_props
        except (OSError, ValueError, DecodeError):
            return {}
        return {entry.key: entry.value for entry in properties}


FORMATS: dict[str, Format] = {one.name: one for one in (Torchvision(), Onnx(), TorchExport())}


def described(encoder: LoadedEncoder) -> dict[str, str]:
    """Say what an encoder is in a flat mapping of texts, those that are no words as JSON."""
    card, wanted = encoder.card, encoder.card["input"]
    said = {key: value for key, value in card.items() if key in _OF_CARD}
    said |= {key: value for key, value in wanted.items() if key in _OF_INPUT}
    return _MARK | {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}


def is_own(path: Path, kind: Format) -> bool:
    """Whether a file is an earlier export of the same format."""
    return path.is_file() and _MARK.items() <= kind.marks(path).items()


def _block(encoder: LoadedEncoder) -> Any:
    return Bottleneck if encoder.architecture.depth == 50 else BasicBlock


def _program(encoder: LoadedEncoder) -> torch.export.ExportedProgram:
    """Trace an encoder for clips of the card's size; the number of clips stays open."""
    clip = encoder.clip
    # Of two clips, because PyTorch takes a size of 0 or 1 for one that will never change.
    example = torch.zeros(2, 3, clip.frames, clip.size, clip.size)
    program = torch.export.export(encoder, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    program.example_inputs = None  # it would be stored: 39 MB of zeros at the paper's size
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the paths of this machine, which are nobody's business
    return program


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}
