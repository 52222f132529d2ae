"""A shelf is a package whose files are its entries: the file name is the key.

Names are listed without importing anything heavy; an entry is imported when it is taken. To add an
entry, add a file. Entries of other installed packages come through the entry-point group
`elo_cli.<shelf>`, e.g. in their pyproject.toml:

    [project.entry-points."elo_cli.tasks"]
    jigsaw = "my_package.jigsaw"
"""

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from elo_cli.core.errors import UsageError


class Shelf:
    """The entries of one package, by name.

    Args:
        package: dotted name of the package, e.g. `elo_cli.tasks`.
        noun: what one entry is called in messages, e.g. `task`.
    """

    def __init__(self, package: str, noun: str) -> None:
        self.package = package
        self.noun = noun

    def _plugins(self) -> dict[str, importlib.metadata.EntryPoint]:
        found = {entry.name: entry for entry in importlib.metadata.entry_points(group=self.package)}
        own = self._own()
        for name, entry in found.items():
            if name.replace("-", "_") in own:
                raise UsageError(
                    f"{_package(entry)} has a {self.noun} called '{name}', which is the name of one of elo's own.",
                    hint=f"Rename it there, or uninstall {_package(entry)}.",
                )
        return found

    def _own(self) -> set[str]:
        path = importlib.import_module(self.package).__path__
        return {module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")}

    def names(self) -> tuple[str, ...]:
        """List the keys, sorted, in the spelling users type (dashes, not underscores)."""
        return tuple(sorted({name.replace("_", "-") for name in self._own() | set(self._plugins())}))

    def take(self, name: str) -> ModuleType:
        """Import the entry called `name`; dashes and underscores are the same.

        Raises:
            UsageError: no entry has that name (the nearest one and the list are in the hint), or a plug-in's module fails.
        """
        key = name.replace("-", "_")
        if key in self._own():
            return importlib.import_module(f"{self.package}.{key}")
        for plugin, entry in self._plugins().items():
            if plugin.replace("-", "_") == key:
                return self._load(entry)
        raise UsageError(f"There is no {self.noun} called '{name}'.", hint=suggest(name, self.names()))

    def _load(self, entry: importlib.metadata.EntryPoint) -> ModuleType:
        try:
            module: ModuleType = entry.load()
        except Exception as error:  # whatever the module of a stranger raises
            raise UsageError(
                f"The {self.noun} '{entry.name}' of {_package(entry)} cannot be loaded: {entry.value}:"
                f" {type(error).__name__}: {error}",
                hint=f"Mend or uninstall {_package(entry)}.",
            ) from error
        return module


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "a package"


def suggest(name: str, choices: Iterable[str]) -> str:
    """Say which of `choices` is nearest to `name`, and what the choices are."""
    listed = list(choices)
    near = difflib.get_close_matches(name, listed, n=1, cutoff=0.5)
    nearest = f"Did you mean '{near[0]}'? " if near else ""
    shown = ", ".join(listed[:30]) + (", …" if len(listed) > 30 else "")
    return f"{nearest}There {'is' if len(listed) == 1 else 'are'}: {shown}."
