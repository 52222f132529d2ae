"""What a benchmark scores: encoders, feature files and what stands beside them; and which row of the paper's tables each is."""

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import ids_path
from elo_cli.engine.export import LoadedEncoder, digest_of
from elo_cli.engine.extract import TRIVIAL
from elo_cli.engine.foreign import load_any_encoder
from elo_cli.engine.objective import build_encoder

SINGLE_TASKS = {  # the rows of Table 1 that are one task alone, and the patterns of their terms
    "frame-shuffle": "rgb.shuffle",
    "reverse": "rgb.reverse",
    "audio-align": "rgb-audio.align",
    "rgb-to-flow": "rgb-to-flow.transfer",
    "predict": "rgb.predict",
    "joint-embedding": "*.embed",
}
BESIDE = ("chance", "untrained", *TRIVIAL)  # what a benchmark itself calls what stands beside
_NOWHERE = Path("untrained")  # the path of a network that was built, and is in no file

_LONGEST = 100  # bytes of a name, which becomes part of the names of files


@dataclass(frozen=True)
class Representation:
    """One thing that is scored: an encoder, a file of features, or a trivial feature.

    Attributes:
        name: what results call it.
        row: the row of the paper's tables that it is, as `workflows/paper_tables.py` calls it; None: none of them.
        encoder: where it is one.
        features: the file, where it is one.
        trivial: the kind, where it is trivial.
        digest: SHA-256 of the encoder's file (or, untrained, of its parameters) or of the file of features.
    """

    name: str
    row: str | None = None
    encoder: LoadedEncoder | None = None
    features: Path | None = None
    trivial: str | None = None
    digest: str | None = None

    def record(self) -> dict[str, Any]:
        """Say what it is and where it came from, as JSON: what `given_again` makes it of."""
        path = self.encoder.path if self.encoder is not None else self.features
        kind = "encoder" if self.encoder is not None else "features" if self.features is not None else "trivial"
        told = {"name": self.name, "row": self.row, "kind": kind, "sha256": self.digest}
        return told | {"path": None if path in (None, _NOWHERE) else str(path.absolute())}

    def as_row(self, row: str | None) -> "Representation":
        """Let it be that row of the paper's tables."""
        return replace(self, row=row)

    @property
    def search(self) -> dict[str, Any] | None:
        """The search that found its loss, where its card tells of one."""
        found: dict[str, Any] | None = None if self.encoder is None else self.encoder.card["origin"].get("search")
        return found


def named_encoder(given: str) -> Representation:
    """Load what `--encoder [NAME=]PATH` names: an encoder of elo, or a file of torchvision's weights.

    Raises:
        DataError: it cannot be loaded.
    """
    name, path = _named(given)
    loaded = load_any_encoder(path)
    if name is None:
        name = loaded.path.parent.name if loaded.path.stem == "encoder" and loaded.path.parent.name else loaded.path.stem
    return Representation(name, row_of(loaded.card), encoder=loaded, digest=loaded.card["sha256"])


def named_features(given: str) -> Representation:
    """Take what `--features [NAME=]FILE` names."""
    name, path = _named(given)
    try:
        digest = hashlib.sha256(path.read_bytes() + _names_of_rows(path)).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", hint="Give a file that elo extract-features wrote."
        ) from error
    return Representation(name or path.stem, features=path, digest=digest)


def untrained(like: LoadedEncoder, seed: int) -> Representation:
    """Build the network of an encoder anew: what learning must be compared with."""
    network = build_encoder("rgb", like.architecture, seed).eval()
    digest = digest_of(network)
    card = like.card | {
        "origin": {"method": "none", "seed": seed, "short_side": like.card["origin"]["short_side"]},
        "sha256": digest,
    }
    return Representation("untrained", "scratch", encoder=LoadedEncoder(_NOWHERE, network, card), digest=digest)


def check_names(chosen: Sequence[Representation]) -> None:
    """Make sure that results can be told apart.

    Raises:
        UsageError: two have one name, or one that is no file name.
    """
    names = [one.name for one in chosen] + [name for name in BESIDE if name != "untrained"]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two representations are called '{name}'.", hint="Give them names: --encoder first=PATH")
        if not name or "/" in name or "\0" in name or name.startswith(".") or len(name.encode(errors="replace")) > _LONGEST:
            raise UsageError(
                f"'{name[:_LONGEST]}' cannot be the name of a representation.", hint="Take a short name that a file could have."
            )


def row_of(card: Mapping[str, Any]) -> str | None:
    """Tell from an encoder's card which row of the paper's tables it is; None where it is none, or that cannot be told."""
    origin = card.get("origin", {})
    if origin.get("method") == "torchvision":
        return {"imagenet": "imagenet", "kinetics400": "kinetics"}.get(origin.get("weights"))
    if origin.get("method") == "none":
        return "scratch"
    if origin.get("random") is not None:
        return "random"
    active = [name for name, weight in origin.get("loss", {}).items() if weight > 0]
    search = origin.get("search")
    if search is not None:
        if search["measure"] == "weak":
            return "elo-weak"
        return "elo" if any(".distill" in name for name in active) else "elo-without-distillation"
    for row, pattern in SINGLE_TASKS.items():
        if active and all(fnmatch.fnmatchcase(name, pattern) for name in active):
            return row
    return None


def _names_of_rows(path: Path) -> bytes:
    """Return what names the rows of a file of features; nothing where that is in the file itself."""
    return b"".join(each.read_bytes() for each in (ids_path(path), path.with_suffix(".ids.txt")) if each.is_file())


def _named(given: str) -> tuple[str | None, Path]:
    name, equals, path = given.partition("=")
    if equals and name and "/" not in name and not Path(given).exists():
        return name, Path(path)
    return None, Path(given)
