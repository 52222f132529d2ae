"""The (2+1)D ResNet: its layers, each two convolutions."""

from elo_cli.encoders.r2plus1d import Encoder


def test_the_layers_add_up() -> None:
    for depth, convolutions in ((10, 1 + 8), (18, 1 + 16), (34, 1 + 32)):
        layers = [
            name for name, _ in Encoder(3, depth, 4).named_parameters() if name.endswith("weight") and "downsample" not in name
        ]
        # Of each (2+1)D convolution two are stored with a norm between and one after.
        assert len(layers) == convolutions * 4
