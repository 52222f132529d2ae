"""Shelf of executors: how jobs are spread over processes and machines."""

from elo_cli.core.shelf import Shelf

SHELF = Shelf("elo_cli.executors", "executor")
