"""Shelf of encoders: each file has a class `Encoder(channels, depth, width)` that returns an `Encoding`."""

from elo_cli.core.shelf import Shelf

SHELF = Shelf("elo_cli.encoders", "encoder")
