"""A trial makes real steps on noise, and says what they took."""

import pytest
import torch

from elo_cli.core.settings import MachineSettings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.loader import source_shapes
from elo_cli.data.video_set import StoredRates
from elo_cli.engine.trial import Trial, TrialCost, noise, try_step
from elo_cli.tasks import all_terms
from tests.support.shards import CLIP, ENCODER, OBJECTIVE

RATES = StoredRates(10.0, 0.05, 8)


def take(device: str, batch: int, accumulate: int = 1) -> tuple[TrialCost, list[str]]:
    """Try all terms; give what was reported too."""
    weights = LossWeights.uniform(all_terms(OBJECTIVE)).to_names()
    train = TrainSettings(clip=CLIP, encoder=ENCODER, batch=batch, accumulate=accumulate, lr=1e6)
    machine = MachineSettings(device=device, threads=1, precision="float32", layout="contiguous")
    items: list[str] = []
    cost = try_step(Trial(weights, train, OBJECTIVE, machine, RATES, 50, 0.0), lambda item, stage="": items.append(item))
    return cost, items


def test_steps_of_all_terms_are_made_and_the_optimiser_has_its_state() -> None:
    cost, items = take("cpu", 4, accumulate=2)
    assert items == ["building the networks", "step 1", "step 2"]
    assert cost.seconds > 0 and cost.peak_bytes > 50 * 2**20 and cost.parameters > 10_000 and cost.free_bytes is None
    everything = 4 * sum(torch.Size(shape).numel() for shape in source_shapes(CLIP, RATES).values())
    assert 0 < cost.clip_bytes < everything, "no term reads the sound of another stretch"


def test_noise_has_everything_of_so_many_videos() -> None:
    shapes = source_shapes(CLIP, RATES)
    batch = noise(shapes, 5, 3)
    assert batch.video_B.tolist() == [0, 1, 2, 0, 1] and batch.size == 5
    assert {source: tuple(tensor.shape[1:]) for source, tensor in batch.inputs.items()} == shapes
    assert all(present_B.all() for present_B in batch.present.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_its_memory_counts() -> None:
    few, many = take("cuda", 2)[0], take("cuda", 64)[0]
    assert few.free_bytes is not None and 0 < few.peak_bytes <= many.peak_bytes < few.free_bytes
