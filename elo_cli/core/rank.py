"""Which of several processes this one is, as the launcher has told it: torchrun, or `elo pretrain --processes`."""

import os
from typing import NamedTuple

from elo_cli.core.errors import UsageError

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # in the order of `Rank`


class Rank(NamedTuple):
    """The place of a process among those that train together.

    Attributes:
        number: from 0; that of rank 0 writes and speaks.
        world: how many there are.
        local: its number on this machine.
        neighbours: how many there are on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    neighbours: int = 1

    def told(self) -> dict[str, str]:
        """Return what a launcher tells this process, by the names of the environment."""
        return dict(zip(_NAMES, map(str, self), strict=True))

    @classmethod
    def announced(cls) -> "Rank":
        """Read what the launcher has told; without one this process is alone.

        Raises:
            UsageError: what it told makes no sense.
        """
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return cls()
        told = {name: os.environ[name] for name in _NAMES if name in os.environ}
        try:
            number, world = int(told["RANK"]), int(told["WORLD_SIZE"])
            found = cls(number, world, int(told.get("LOCAL_RANK", number)), int(told.get("LOCAL_WORLD_SIZE", world)))
        except ValueError:
            found = cls(1)
        if not (0 <= found.number < found.world and 0 <= found.local < found.neighbours):
            said = ", ".join(f"{name}={value}" for name, value in told.items())
            raise UsageError(
                f"The environment makes no sense: {said}.", hint="Start it with torchrun, or unset RANK and WORLD_SIZE."
            )
        return found
