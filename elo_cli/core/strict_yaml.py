"""YAML without its surprises, for settings, presets and loss files.

Read is the core schema of YAML 1.2: `1e-4` is a number, `no` and `12:30` and `2024-01-31` are text.
Refused are duplicate keys, keys that are not text, anchors and aliases (a few lines of them can
stand for gigabytes), tags other than the core ones, more than `MAX_BYTES`, and nesting deeper than
`MAX_DEPTH`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from elo_cli.core.errors import UsageError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# The core schema of YAML 1.2 (section 10.3.2). The first pattern that matches wins, so int stands before float.
_CORE_SCHEMA = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
)


class _Loader(yaml.SafeLoader):
    """A safe loader for the core schema, without anchors, duplicate keys, and deep nesting."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way of class-wide tables
    yaml_constructors = {
        _TAG + kind: yaml.SafeLoader.yaml_constructors[_TAG + kind] for kind in ("null", "str", "seq", "map")
    } | {None: yaml.SafeLoader.construct_undefined}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _error("anchors and aliases (& and *) are not allowed", event)
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:  # a value stands one level below the innermost collection
            raise _error(f"nested deeper than {MAX_DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(f"the key {key!r} is not text; put it in quotes", key_node)
            if key in seen:
                raise _error(f"the key '{key}' stands here twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:
    """Make an error at the place of a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in ("true", "false"):  # an explicit !!bool before something else
        raise _error(f"'{text}' is neither true nor false", node)
    return text == "true"


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    try:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    except ValueError:  # an explicit !!int before something else, or more digits than Python converts
        raise _error(f"'{text[:40]}' is not a whole number", node) from None


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    try:
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    except ValueError:  # an explicit !!float before something else
        raise _error(f"'{text[:40]}' is not a number", node) from None


class _Dumper(yaml.SafeDumper):
    """A safe dumper that quotes whatever YAML 1.1 or 1.2 would not read as the text it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # a list that stands in two places is written twice, since aliases are not read back


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    # PyYAML folds these line breaks of YAML 1.1 into others unless they are escaped.
    style = '"' if re.search("[\x85\u2028\u2029\ufeff]", text) else None
    return dumper.represent_scalar(_TAG + "str", text, style=style)


for _kind, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern.pattern})\\Z"), _first)
    _Dumper.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern.pattern})\\Z"), _first)
_Dumper.add_representer(str, _represent_text)
_Loader.add_constructor(_TAG + "bool", _construct_bool)
_Loader.add_constructor(_TAG + "int", _construct_int)
_Loader.add_constructor(_TAG + "float", _construct_float)


def load_yaml(source: Path | str, what: str) -> dict[str, Any]:
    """Read a mapping; an empty document is an empty mapping.

    Args:
        source: a file, or the YAML text itself.
        what: what it is, for messages, e.g. `the preset`.

    Raises:
        UsageError: the file cannot be read, or is not such a mapping; the line is named.
    """
    where = f"{what} {source}" if isinstance(source, Path) else what
    where = where[:1].upper() + where[1:]
    content = _read(source, where) if isinstance(source, Path) else source.encode(errors="surrogatepass")
    if len(content) > MAX_BYTES:
        raise UsageError(f"{where} is larger than {MAX_BYTES >> 20} MiB.", hint="Is it the right file?")
    text = _decode(content, where) if isinstance(source, Path) else source
    with _yaml_errors(where, text):
        value = yaml.load(text, _Loader)  # a subclass of the safe loader
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{where} holds no mapping.", hint="It should be lines of the form `key: value`.")
    return value


def dump_yaml(value: Any) -> str:
    """Write `value` as YAML that `load_yaml` reads back as it was; keys keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _read(path: Path, where: str) -> bytes:
    try:
        if path.exists() and not path.is_file():  # reading a pipe could wait for ever
            raise UsageError(f"{where} is not a file.")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror or error}.") from error


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}, line {line}: not UTF-8 text.", hint="Save it as UTF-8.") from error


@contextmanager
def _yaml_errors(where: str, text: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: {error.problem or error.context}.") from error
    except ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{where}, line {number}: a character that cannot stand in YAML text.") from error
