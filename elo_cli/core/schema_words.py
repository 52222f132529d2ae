"""What a JSON schema of a setting allows, in words."""

from collections.abc import Mapping
from typing import Any


def allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(allowed(part) for part in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array" and "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])} values, each {allowed(schema['prefixItems'][0])}"
    if kind == "array":
        return f"a list, each {allowed(schema['items'])}" + (", at least one" if schema.get("minItems") else "")
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
    return words.get(str(kind), "text") + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = [
        f"{word} {int(schema[name]) if schema[name] % 1 == 0 else schema[name]}" for name, word in words.items() if name in schema
    ]
    if schema.get("minLength"):
        bounds.append("not empty")
    return ", " + " and ".join(bounds) if bounds else ""
