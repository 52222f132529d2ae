"""The directory of a run: every path by its name, one owner at a time, and the settings it began with."""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elo_cli.core.errors import StorageError, UsageError
from elo_cli.core.files import storage_errors, write_atomic, write_json
from elo_cli.core.strict_yaml import dump_yaml, load_yaml
from elo_cli.run.environment import describe_environment
from elo_cli.run.journal import Journal
from elo_cli.run.lock import hold

_MOST_DIFFERENCES = 10
_ABSENT = "(absent)"
Settings = dict[str, Any]


class RunDirectory:
    """The paths of one run.

    Args:
        root: the directory itself.

    Attributes:
        environment_changes: what of the environment differs from the last time the run was opened,
            as lines `packages.torch: 2.10.0 → 2.15.0`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment_changes: tuple[str, ...] = ()

    @property
    def settings(self) -> Path:
        """The settings in force, as YAML."""
        return self.root / "settings.yaml"

    @property
    def environment(self) -> Path:
        """Versions, platform and processors of the newest start."""
        return self.root / "environment.json"

    @property
    def log(self) -> Path:
        """What happened, as a journal."""
        return self.root / "log.jsonl"

    @property
    def result(self) -> Path:
        """What came out; there once the run is done."""
        return self.root / "result.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """The journal of a search: every candidate with its score."""
        return self.root / "evaluations.jsonl"

    @property
    def candidates(self) -> Path:
        """The folder of candidates, each under its digest."""
        return self.root / "candidates"

    @property
    def trajectory(self) -> Path:
        """The weights that were learned by gradient descent, update by update."""
        return self.root / "trajectory.json"

    @property
    def best_loss(self) -> Path:
        """The best loss of a search."""
        return self.root / "best-loss.yaml"

    @property
    def loss(self) -> Path:
        """The loss that a training uses."""
        return self.root / "loss.yaml"

    @property
    def encoder(self) -> Path:
        """The weights of the trained encoder."""
        return self.root / "encoder.safetensors"

    @property
    def encoder_card(self) -> Path:
        """What the encoder is: architecture, modality, training."""
        return self.root / "encoder.json"

    @property
    def features(self) -> Path:
        """Extracted features."""
        return self.root / "features.safetensors"

    @property
    def failures(self) -> Path:
        """Videos that could not be used, each with its reason, as a journal."""
        return self.root / "failures.jsonl"

    @property
    def leaderboard_csv(self) -> Path:
        """The candidates of a search, best first, as a table."""
        return self.root / "leaderboard.csv"

    @property
    def leaderboard_json(self) -> Path:
        """The same for programs."""
        return self.root / "leaderboard.json"

    @property
    def pictures(self) -> Path:
        """The folder of pictures."""
        return self.root / "pictures"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's files."""
        return self.root / "tensorboard"

    @property
    def lock(self) -> Path:
        """The file that the owner holds locked; the lock ends with the process, however it ends."""
        return self.root / "lock"

    @property
    def owner(self) -> Path:
        """Who holds the lock. It may outlive a killed owner, and then means nothing."""
        return self.root / "lock.json"

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        root: Path,
        settings: Settings,
        *,
        command: str,
        fresh: bool = False,
        free: frozenset[str] = frozenset(),
        threads: int | None = None,
        processes: int = 1,
    ) -> Iterator["RunDirectory"]:
        """Own a run's directory for the length of a `with` block, making it if need be.

        Args:
            root: the directory.
            settings: the resolved settings: mappings, lists, numbers, text.
            command: the command line, for whoever finds the run locked.
            fresh: start a new run beside an existing one; see `fresh_root`.
            free: settings that may differ from the stored ones, as dotted keys or beginnings of
                such keys (`loader` frees `loader.workers`).
            threads: the number of threads that the run computes with, to be recorded.
            processes: how many processes train together, to be recorded.

        Raises:
            StorageError: the directory cannot be made or written.
            LockedError: another process is at work there.
            UsageError: the run was begun with other settings; the differences are named.
            MachineError: the file system knows no locks.
        """
        run = cls(_claim(root) if fresh else root)
        with storage_errors(run.root):
            run.root.mkdir(parents=True, exist_ok=True)
        with hold(run.lock, run.owner, command):
            run._keep_settings(settings, free)
            run._keep_environment(threads, processes)
            with run._logged(command):
                yield run

    @contextlib.contextmanager
    def _logged(self, command: str) -> Iterator[None]:
        """Note in the log when the work begins, and when and how it ends; of a kill the log knows only the beginning."""
        log, begun = Journal(self.log), time.time()
        log.append({"event": "start", "command": command, "time": begun})
        ended = "done"
        try:
            yield
        except BaseException as error:
            ended = type(error).__name__
            raise
        finally:
            with contextlib.suppress(StorageError):  # a full disk is already being reported
                log.append({"event": "end", "how": ended, "time": time.time(), "seconds": round(time.time() - begun, 3)})

    def _keep_settings(self, settings: Settings, free: frozenset[str]) -> None:
        """Store the settings, or compare them with the stored ones."""
        text = dump_yaml(_sorted(settings))
        if self.settings.exists():
            stored = load_yaml(self.settings, "the settings of the run,")
            differences = {
                key: line
                for key, line in _differences(stored, load_yaml(text, "settings")).items()
                if not any(key == name or key.startswith(name + ".") for name in free)
            }
            if differences:
                raise _settings_error(self.root, list(differences.values()))
        write_atomic(self.settings, text.encode())

    def _keep_environment(self, threads: int | None, processes: int) -> None:
        """Record the environment, and how it differs from the one before."""
        now = describe_environment(threads, processes)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # none yet, or damaged: nothing to compare with
            before = json.loads(self.environment.read_text())
            self.environment_changes = tuple(_differences(before, json.loads(json.dumps(now))).values())
        write_json(self.environment, now)


def fresh_root(base: Path) -> Path:
    """Return the first of `base`, `base-2`, `base-3`, … that is not there yet."""
    number = 1
    while os.path.lexists(root := _numbered(base, number)):
        number += 1
    return root


def newest_root(base: Path, has: str) -> Path | None:
    """Return the highest-numbered of `base`, `base-2`, … that holds the file `has`; None if none does."""
    return next(iter(numbered_roots(base, has)), None)


def numbered_roots(base: Path, has: str) -> list[Path]:
    """Return those of `base`, `base-2`, … that hold the file `has`, the highest number first."""
    pattern = re.compile(re.escape(base.name) + r"(?:-(?P<number>[1-9][0-9]*))?")
    found: dict[int, Path] = {}
    for path in base.parent.iterdir() if base.parent.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match and match["number"] != "1" and (path / has).exists():
            found[int(match["number"] or 1)] = path
    return [found[number] for number in sorted(found, reverse=True)]


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def _claim(base: Path) -> Path:
    """Make the directory that `fresh_root` names, and no other process's."""
    while True:
        root = fresh_root(base)
        with storage_errors(root), contextlib.suppress(FileExistsError):
            root.mkdir(parents=True)
            return root


def _settings_error(root: Path, lines: list[str]) -> UsageError:
    shown = [f"  {line}" for line in lines[:_MOST_DIFFERENCES]]
    if len(lines) > _MOST_DIFFERENCES:
        shown.append(f"  … and {len(lines) - _MOST_DIFFERENCES} more")
    return UsageError(
        "\n".join([f"{root} was begun with other settings (stored → given):", *shown]),
        hint="--fresh starts a new run beside it; or give the former settings.",
    )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


def _differences(stored: Settings, given: Settings, prefix: str = "") -> dict[str, str]:
    """Return a line `key: stored → given` for each dotted key whose values differ."""
    lines: dict[str, str] = {}
    for key in sorted(stored.keys() | given.keys()):
        old, new = stored.get(key, _ABSENT), given.get(key, _ABSENT)
        name = f"{prefix}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            lines |= _differences(old, new, name + ".")
        elif json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):  # tells 1 from true, and NaN equals NaN
            lines[name] = f"{name}: {old} → {new}"
    return lines
