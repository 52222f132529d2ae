"""Settings from the places where people write them: one frozen object out of presets, files and options.

Later wins: the built-in defaults, `elo.yaml` in the working directory, the preset, `--config FILE`,
`--set KEY=VALUE`, `--seed`. `elo.yaml` and `--config` may name the preset that they build on
(`preset: small`); what they say themselves wins over it, and `--preset` on the command line replaces it.
"""

import difflib
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from elo_cli.core.errors import UsageError
from elo_cli.core.methods import METHODS
from elo_cli.core.schema_words import allowed
from elo_cli.core.settings import Settings
from elo_cli.core.shelf import suggest
from elo_cli.core.strict_yaml import load_yaml

FILE_NAME = "elo.yaml"
_PACKAGE = Path(__file__).parent


class _Layer(NamedTuple):
    """What one source says: a nested mapping, and what the source is called in messages."""

    values: dict[str, Any]
    source: str


def resolve(
    preset: str | None, config: Path | None, assignments: Sequence[str], seed: int | None, folder: Path = Path()
) -> Settings:
    """Merge everything that was said into one settings object.

    Args:
        preset: the name that `--preset` gives.
        config: the file that `--config` gives.
        assignments: what each `--set` gives, as `a.b=value`; the value is YAML.
        seed: what `--seed` gives.
        folder: where `elo.yaml` is looked for.

    Raises:
        UsageError: a file cannot be read, a preset or a key does not exist, or a value is not allowed.
    """
    home = folder / FILE_NAME
    files = [_file_layer(home)] if os.path.lexists(home) else []
    if config is not None:
        files.append(_file_layer(config))
    named = [layer.values.pop("preset", None) for layer in files]
    layers = list(files)
    if preset is not None:
        layers.insert(len(files) - (config is not None), _preset_layer(preset))
    else:  # the last file that names a preset builds on it
        for place in reversed(range(len(files))):
            if named[place] is not None:
                layers.insert(place, _preset_layer(named[place], files[place].source))
                break
    layers += [_assignment_layer(text) for text in assignments]
    if seed is not None:
        layers.append(_Layer({"seed": seed}, "--seed"))
    return _build(layers)


def presets() -> dict[str, Path]:
    """Return the presets by name: those of the checkout if this is one, else the installed ones."""
    checkout = _PACKAGE.parent
    # A folder `presets` beside an installed package may be anybody's.
    folder = checkout / "presets" if (checkout / "pyproject.toml").is_file() else _PACKAGE / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def preset_path(name: str, named_in: str | None = None) -> Path:
    """Return the file of a preset.

    Args:
        name: its name.
        named_in: the file that names it, for the message.

    Raises:
        UsageError: there is none; the nearest one and the list are in the hint.
    """
    known = presets()
    if name in known:
        return known[name]
    hint = suggest(name, known) if known else "No preset is installed."
    if "/" in name or name.endswith((".yaml", ".yml")):
        hint = "A file of settings is given with --config FILE."
    place = f" ({named_in})" if named_in else ""
    raise UsageError(f"There is no preset called '{name}'{place}.", hint=hint)


def describe(preset: Path) -> str:
    """Return the comment that a preset opens with, without its `#`."""
    lines: list[str] = []
    for line in preset.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines).strip()


def settings_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as mappings, lists, numbers and text, as `settings.yaml` holds them."""
    return settings.model_dump(mode="json")


def changes(settings: Settings) -> dict[str, Any]:
    """Return what differs from the built-in defaults, by dotted key."""
    defaults = dict(_flatten(settings_dict(Settings.model_validate({}))))
    return {key: value for key, value in _flatten(settings_dict(settings)) if value != defaults[key]}


def schema_keys() -> dict[str, str]:
    """Return every dotted key with what it means."""
    return {key: str(schema.get("description", "")) for key, schema in _leaves().items()}


def _file_layer(path: Path) -> _Layer:
    return _Layer(load_yaml(path, "the settings file"), str(path))


def _preset_layer(name: object, named_in: str | None = None) -> _Layer:
    if not isinstance(name, str):
        raise UsageError(f"preset is {_show(name)} ({named_in}), but must be the name of a preset.")
    path = preset_path(name, named_in)
    return _Layer(load_yaml(path, "the preset"), f"preset {name}, {path}")


def _assignment_layer(text: str) -> _Layer:
    """Read `a.b=value`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not key or not equals:
        raise UsageError(
            f"--set {text} names no setting or gives no value.",
            hint="Write it as --set KEY=VALUE, e.g. --set pretrain.steps=500.",
        )
    read = load_yaml(f"value: {value}", f"--set {text}")
    if read.keys() != {"value"}:
        raise UsageError(f"--set {key} gives more than one value.", hint="Give each setting with a --set of its own.")
    nested = read["value"]
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return _Layer(nested, f"--set {key}")


def _build(layers: Sequence[_Layer]) -> Settings:
    """Lay the layers over one another and check the whole."""
    flat: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for values, source in layers:
        for key, value in _check_keys(values, source):
            flat[key] = value
            sources[key] = source
    name = flat.get("method")
    if isinstance(name, str) and name in METHODS:  # what is said anywhere goes before what a method takes for itself
        together = {"objective.modalities", "objective.terms"}  # taken both, or neither
        said = flat.keys() | (together if together & flat.keys() else set())
        for key, value in _check_keys(METHODS[name].settings, f"method {name}"):
            if key not in said:
                flat[key], sources[key] = value, f"method {name}"
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise _value_error(error, flat, sources) from None


def _check_keys(values: Mapping[str, Any], source: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a layer by dotted key; refuse those that do not exist."""
    for name, value in values.items():
        key = prefix + name
        if key in _leaves():
            yield key, value
        elif key not in _sections():
            while isinstance(value, Mapping) and value:  # name the whole key, not just where it leaves the known ones
                name, value = next(iter(value.items()))
                key += f".{name}"
            raise _key_error(key, source)
        elif isinstance(value, Mapping):
            yield from _check_keys(value, source, key + ".")
        elif value is not None:  # a section whose every line is a comment is null
            raise UsageError(
                f"{key} is {_show(value)} ({source}), but it is a group of settings.", hint=f"It holds {_members(key)}."
            )


def _key_error(key: str, source: str) -> UsageError:
    """Say which key does not exist, and which one may have been meant."""
    section, _, last = key.rpartition(".")
    every = [*_leaves(), *_sections()]
    near = difflib.get_close_matches(key, every, n=1, cutoff=0.8)
    near = near or [known for known in _leaves() if known.rpartition(".")[2] == last]
    if section not in _sections():
        near = near or difflib.get_close_matches(key, every, n=1)
    if key == "preset" and not near:
        hint = "A preset is named at the top of elo.yaml or of a --config file, or with --preset."
    elif near:
        hint = f"Did you mean {' or '.join(repr(known) for known in near)}?"
    elif section in _sections():
        hint = f"{section} holds {_members(section)}."
    else:
        hint = "--print-settings shows every setting."
    return UsageError(f"There is no setting '{key}' ({source}).", hint=hint)


def _value_error(error: ValidationError, flat: Mapping[str, Any], sources: Mapping[str, str]) -> UsageError:
    """Say in one line for each wrong setting what was given and what is allowed."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=True):
        parts = [str(part) for part in item["loc"]]
        keys = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        key = next(key for key in keys if key in _leaves() or key in _sections())
        if key in _leaves():
            place = f" ({sources[key]})" if key in sources else ""
            lines[key] = f"{key} is {_show(flat.get(key))}{place}, but must be {allowed(_leaves()[key])}."
        else:  # a rule over several settings of a group
            places = {sources[known]: None for known in sources if known.startswith(key + ".")}
            reason = str(item.get("ctx", {}).get("error", item["msg"]))
            lines[key] = f"{key} ({'; '.join(places)}): {reason}."
    if len(lines) > 1:
        return UsageError("\n  ".join(["Some settings are not allowed:", *lines.values()]))
    [(key, line)] = lines.items()
    meaning = schema_keys().get(key, "")
    return UsageError(line, hint=f"{key}: {meaning}." if meaning else "")


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _members(section: str) -> str:
    inside = [key.removeprefix(section + ".").partition(".")[0] for key in _leaves() if key.startswith(section + ".")]
    return ", ".join(dict.fromkeys(inside))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@functools.cache
def _sections() -> frozenset[str]:
    """Return the dotted names of all groups of settings."""
    return frozenset(key.rsplit(".", depth)[0] for key in _leaves() for depth in range(1, key.count(".") + 1))


@functools.cache
def _leaves() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every setting by its dotted key."""
    schema = Settings.model_json_schema()
    found: dict[str, dict[str, Any]] = {}

    def walk(properties: Mapping[str, Any], prefix: str) -> None:
        for name, node in properties.items():
            if "$ref" in node:
                node = schema["$defs"][node["$ref"].rpartition("/")[2]]
            if "properties" in node:
                walk(node["properties"], f"{prefix}{name}.")
            else:
                found[prefix + name] = node

    walk(schema["properties"], "")
    return found
