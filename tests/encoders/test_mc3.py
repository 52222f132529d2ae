"""The ResNet of mixed convolutions: where it looks over time."""

import torch

from elo_cli.encoders.mc3 import Encoder


def test_only_its_stem_and_first_stage_look_over_time() -> None:
    encoder = Encoder(3, 18, 4)
    spans = {name.split(".")[0] for name, value in encoder.named_parameters() if value.dim() == 5 and value.shape[2] > 1}
    assert spans == {"stem", "layer1"}
    assert [stage.shape[2] for stage in encoder(torch.randn(2, 3, 7, 16, 16)).stages] == [7, 7, 7, 7]
