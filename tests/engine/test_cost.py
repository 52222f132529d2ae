"""What terms cost: counted, not guessed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from elo_cli.core.clip import MODALITIES, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.core.weights import Term
from elo_cli.data.loader import source_shapes
from elo_cli.data.video_set import StoredRates
from elo_cli.engine.cost import term_costs
from elo_cli.engine.objective import build_encoder
from elo_cli.tasks import all_terms

CLIP = ClipSettings(frames=4, size=16, future=2)
ENCODER = EncoderSettings(depth=10, width=4)
SHAPES = source_shapes(CLIP, StoredRates(12.5, 0.02, 8))
OBJECTIVE = ObjectiveSettings()


def costs(*names: str, objective: ObjectiveSettings = OBJECTIVE, encoder: EncoderSettings = ENCODER) -> dict[str, object]:
    found = term_costs([Term.parse(name) for name in names], objective, encoder, SHAPES, 10)
    return {str(term): cost for term, cost in found.items()}


def test_every_term_has_a_cost_and_nothing_random_is_drawn() -> None:
    state = torch.random.get_rng_state()
    found = term_costs(all_terms(OBJECTIVE), OBJECTIVE, ENCODER, SHAPES, 10)
    assert list(found) == list(all_terms(OBJECTIVE))
    assert torch.equal(state, torch.random.get_rng_state())
    for term, cost in found.items():
        assert cost.encoder_flop > 0 and {view.modality for view in cost.views} <= set(term.modalities)
        assert (cost.parameters > 0) == (term.task not in ("embed", "distill"))  # all stages have as many channels here


def test_operations_of_a_query_and_a_key_are_those_of_two_passes() -> None:
    encoder = build_encoder("motion", ENCODER, 0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, 3, *SHAPES[Source("motion")][1:]))
    [cost] = costs("motion.contrast").values()
    assert cost.encoder_flop == 2 * counter.get_total_flops()  # type: ignore[attr-defined]


@pytest.mark.parametrize("modality", [name for name in MODALITIES if name != "motion"])
def test_operations_of_an_encoder_are_those_of_running_it(modality: str) -> None:
    encoder = build_encoder(modality, ENCODER, 0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, *SHAPES[Source(modality)]))  # type: ignore[arg-type]
    one, two = costs(f"{modality}.reconstruct", f"{modality}.reverse").values()
    assert one.encoder_flop == counter.get_total_flops() and two.encoder_flop == 2 * one.encoder_flop  # type: ignore[attr-defined]


def test_a_linear_layer_is_counted_for_one_clip() -> None:
    [cost] = costs("rgb.reverse").values()
    assert cost.parameters == 8 * 4 + 1 and cost.own_flop == 2 * 2 * 8 * 4  # type: ignore[attr-defined]  # two views
    assert cost.views == (View("rgb"), View("rgb", "reversed")) and cost.targets == ()  # type: ignore[attr-defined]


def test_the_largest_network_is_counted_without_memory() -> None:
    clip = ClipSettings(frames=32, size=224)
    shapes = source_shapes(clip, StoredRates(25, 0.01, 80))
    found = term_costs([Term.parse("rgb-flow.embed")], OBJECTIVE, EncoderSettings(depth=50), shapes, 2_000_000)
    [cost] = found.values()
    assert cost.encoder_flop > 1e11
