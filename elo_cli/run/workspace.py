"""The convention of paths: what each command writes, and where the next one finds it.

Everything lies in one folder under the working directory (the setting `workspace`, `elo` by
default): `dataset`, `proxy-search`, `evolve`, `pretrain`, `features`, `benchmark-NAME`. `--fresh`
starts `NAME-2`, `NAME-3`, …; what looks for a result takes the highest number that has one. In `cache`
is what benchmarks share; it may be deleted at any time, and is then made again.
"""

from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.run.directory import newest_root


class Workspace:
    """Finds what earlier commands wrote.

    Args:
        root: the workspace folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str, *, fresh: bool) -> Path:
        """Where the command of that name writes unless told otherwise.

        To go on, that is the newest run; to start anew, the name that `RunDirectory.open` numbers.
        """
        base = self.root / name
        return base if fresh else newest_root(base, "settings.yaml") or base

    def _newest(self, name: str, has: str, what: str, command: str) -> Path:
        found = newest_root(self.root / name, has)
        if found is None:
            raise DataError(f"There is no {what} in {self.root} yet.", hint=f"Make it first: {command}")
        return found

    @property
    def cache(self) -> Path:
        """What can be made again: preprocessed labelled sets, and features."""
        return self.root / "cache"

    def dataset(self) -> Path:
        """The newest finished preprocessed set."""
        return self._newest("dataset", "result.json", "preprocessed set", "elo preprocess FOLDER_OF_VIDEOS")

    def best_loss(self) -> Path:
        """The loss that the newest finished search found best."""
        command = "elo evolve (or train with equal weights: elo pretrain --loss uniform)"
        return self._newest("evolve", "best-loss.yaml", "evolved loss", command) / "best-loss.yaml"

    def encoder(self) -> Path:
        """The encoder of the newest finished pretraining."""
        return self._newest("pretrain", "encoder.safetensors", "pretrained encoder", "elo pretrain") / "encoder.safetensors"

    def features(self) -> Path:
        """The features of the newest finished extraction."""
        return self._newest("features", "features.safetensors", "feature file", "elo extract-features") / "features.safetensors"
