"""Device, number format and layout; and the convolutions that stay out of bfloat16 on processors."""

import copy
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from elo_cli.core.errors import MachineError
from elo_cli.core.settings import MachineSettings
from elo_cli.encoders.audio_resnet import Encoder as SoundEncoder
from elo_cli.encoders.r2plus1d import Encoder
from elo_cli.engine.precision import Precision
from tests.support.commands import ROOT
from tests.support.shards import BF16, PLAIN


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def weight_gradient(layer: nn.Module, given: torch.Tensor, precision: Precision) -> torch.Tensor:
    layer.zero_grad(set_to_none=True)
    with precision.autocast():
        layer(precision.send(given)).float().square().sum().backward()
    gradient = next(layer.parameters()).grad
    assert gradient is not None
    return gradient.clone()


CASES = [
    ((2, 16, 12, 12), (3, 1, 1), (1, 1, 1), (1, 0, 0)),
    ((1, 16, 6, 6), (3, 1, 1), (1, 1, 1), (1, 0, 0)),
    ((1, 16, 6, 6), (3, 1, 1), (2, 1, 1), (1, 0, 0)),
    ((4, 16, 2, 2), (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ((4, 16, 2, 2), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ((2, 16, 2, 2), (1, 1, 1), (2, 2, 2), (0, 0, 0)),
    ((4, 16, 8, 8), (3, 1, 1), (1, 1, 1), (1, 0, 0)),
]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), CASES)
def test_bf16_gradients_on_processors_are_right_and_repeatable(
    shape: tuple[int, ...], kernel: tuple[int, int, int], stride: tuple[int, int, int], padding: tuple[int, int, int], last: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(shape[1], 24, kernel, stride, padding, bias=False)
    given = torch.randn(4, shape[1], shape[0], *shape[2:])
    exact = weight_gradient(layer, given, PLAIN)
    precision = Precision(torch.device("cpu"), True, last, 1)
    placed = precision.place(layer)
    found = [weight_gradient(placed, given, precision) for _ in range(6)]
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert (found[0] - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_a_whole_network_in_bf16_stays_close_to_float32(frames: int) -> None:
    torch.manual_seed(0)
    encoder, clip = Encoder(3, 10, 8), torch.randn(4, 3, frames, 24, 24)

    def vectors(precision: Precision) -> list[torch.Tensor]:
        placed, found = precision.place(encoder), []
        for _ in range(2):
            placed.zero_grad(set_to_none=True)
            with precision.autocast():
                vector = placed(precision.send(clip)).vector_BD
            (vector * torch.linspace(-1, 1, vector.numel()).view_as(vector)).sum().backward()
            found.append(torch.cat([p.grad.flatten() for p in placed.parameters() if p.grad is not None]))
        assert torch.equal(*found)
        return [vector.detach(), found[0]]

    (exact, slope), (rounded, rounded_slope) = vectors(PLAIN), vectors(BF16)
    assert (rounded - exact).norm() / exact.norm() < 0.05
    # Every layer adds its rounding; a gradient that was read from stray memory would be far below.
    assert torch.nn.functional.cosine_similarity(rounded_slope, slope, dim=0) > 0.75


def test_placing_keeps_names_values_and_types() -> None:
    encoder = Encoder(3, 10, 4)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    placed = BF16.place(BF16.place(encoder))
    assert list(placed.state_dict()) == list(state)
    assert all(
        value.dtype == state[name].dtype and torch.equal(value, state[name]) for name, value in placed.state_dict().items()
    )
    assert all(isinstance(part, nn.Conv3d) for name, part in placed.named_modules() if name.endswith("conv1.0.0"))
    assert placed.get_parameter("stem.0.weight").is_contiguous(memory_format=torch.channels_last_3d)


def test_sound_keeps_its_layout_on_processors() -> None:
    # oneDNN's strided 1×1 convolution with channels last damages the heap in its gradient.
    placed = BF16.place(SoundEncoder(1, 10, 4))
    assert all(parameter.is_contiguous() for parameter in placed.parameters())
    assert BF16.send(torch.zeros(2, 1, 8, 9)).is_contiguous()
    assert BF16.send(torch.zeros(2, 3, 4, 8, 8)).is_contiguous(memory_format=torch.channels_last_3d)
    assert PLAIN.send(torch.zeros(2, 3, 4, 8, 8)).is_contiguous()


def test_settings_are_followed() -> None:
    chosen = Precision.choose(MachineSettings(precision="float32", layout="channels_last", device="cpu", threads=1))
    assert chosen == Precision(torch.device("cpu"), False, True, 1)
    assert torch.get_num_threads() == 1
    assert chosen.describe() == {"device": "cpu", "precision": "float32", "layout": "channels_last"}
    assert Precision.choose(MachineSettings(precision="bf16", layout="contiguous", device="cpu", threads=2)).bf16
    assert Precision.choose(MachineSettings(device="cpu")).threads >= 1


@pytest.mark.parametrize("device", ["cuda:99", "abacus", "cpu:x"])
def test_a_device_that_is_not_there_is_said(device: str) -> None:
    with pytest.raises(MachineError, match=device) as caught:
        Precision.choose(MachineSettings(device=device))
    assert "machine.device=cpu" in caught.value.hint


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_memory_that_was_freed_is_used_again() -> None:
    program = """if True:
        import resource, torch
        from elo_cli.core.settings import MachineSettings
        from elo_cli.engine.precision import Precision
        def faults():
            begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(10):
                torch.zeros(2**24)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
        before = faults()
        Precision.choose(MachineSettings(device="cpu", threads=1))
        faults()
        print(before, faults())
    """
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = map(int, said.stdout.split())
    assert before > 1000 and after < before / 10


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch 2.10 itself
def test_compiled_code_does_the_same_and_keeps_names() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU())
    compiled = copy.deepcopy(plain)
    Precision(torch.device("cpu"), False, False, 1, compiled=True).compile(compiled)
    given = torch.randn(2, 3, 4, 8, 8)
    torch.testing.assert_close(compiled(given), plain(given))
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_without_a_compiler_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    precision = Precision.choose(MachineSettings(compile=True, device="cpu"))
    assert precision.describe()["code"] == "compiled"
    with pytest.raises(MachineError, match="needs a C\\+\\+ compiler") as caught:
        precision.compile(nn.Linear(1, 1))
    assert "machine.compile=false" in caught.value.hint
    Precision.choose(MachineSettings(device="cpu")).compile(nn.Linear(1, 1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("tf32", [True, False])
def test_products_on_nvidia_are_rounded_where_that_is_allowed(tf32: bool) -> None:
    Precision.choose(MachineSettings(device="cuda", tf32=tf32))
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
