"""The JSON Schema of blueprints, from the model and from every streamlet's options: what editors complete from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.catalog import Catalog, NotFound
from blueprints.fields import VARIABLE_SCHEMA
from blueprints.model import BLUEPRINT, STREAMLET

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""A DNS label: the names of the application and of its streamlets."""

_IN_NAMES: Final = ("properties", "patternProperties", "$defs")
_IN_ONE: Final = ("items", "additionalProperties", "contains", "not", "if", "then", "else")
_IN_LIST: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_TELLING: Final = ("title", "description", "default", "examples", "deprecated")
_FOREIGN: Final = ("gt", "ge", "lt", "le")  # pydantic's own words, where it has no JSON Schema for a bound
_SECRET: Final[Mapping[str, Any]] = {
    "anyOf": [
        dict(VARIABLE_SCHEMA),
        {
            "type": "object",
            "properties": {
                "file": {
                    "type": "string",
                    "description": "a mounted file that holds the secret, read once, at start",
                }
            },
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}


def blueprint_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the schema, JSON Schema 2020-12. `${NAME}` is accepted wherever a number, boolean or quantity stands."""
    schema = BLUEPRINT.schema()
    definitions: dict[str, Any] = {}
    choices = []
    for name in catalog.names():
        found = catalog.find(name, Path())
        if isinstance(found, NotFound):
            continue  # an entry point that cannot be loaded: the linter says why where it is used
        options = found.options_schema()
        definitions[name] = _loosened(options, f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}")
        then: dict[str, Any] = {"properties": {"with": {"$ref": f"#/$defs/{name}"}}}
        if options.get("required"):
            then["required"] = ["with"]
        chosen = {"properties": {"use": {"const": name}}, "required": ["use"]}
        choices.append({"if": chosen, "then": then})
    streamlet = STREAMLET.schema()
    use = streamlet["properties"]["use"]
    own = {
        "type": "string",
        "pattern": f":|{VARIABLE_SCHEMA['pattern']}",
        "examples": ["package.module:name"],
    }
    streamlet["properties"]["use"] = {
        "anyOf": [{"enum": list(definitions)}, own],
        "description": use["description"],
    }
    if choices:
        streamlet["allOf"] = choices
    schema["properties"]["streamlets"]["additionalProperties"] = streamlet
    schema["properties"]["streamlets"]["minProperties"] = 1
    schema["properties"]["streamlets"]["propertyNames"] = {"pattern": LABEL}
    schema["properties"]["contracts"]["propertyNames"] = {"pattern": r"^[a-zA-Z0-9._-]+$"}
    schema["properties"]["contracts"]["additionalProperties"].update(minProperties=1, maxProperties=1)
    schema["properties"]["name"]["pattern"] = f"{LABEL}|{VARIABLE_SCHEMA['pattern']}"
    return {"$schema": DIALECT, "title": "Streamlets blueprint", **schema, "$defs": definitions}


def _loosened(schema: Any, root: str) -> Any:
    """Return a schema of options with its references led below `root` and `${NAME}` accepted for what is no text."""
    if not isinstance(schema, Mapping):
        return schema
    loose: dict[str, Any] = {}
    for word, value in schema.items():
        if word == "$ref":
            loose[word] = root + str(value).removeprefix("#")
        elif word in _IN_NAMES:
            loose[word] = {name: _loosened(child, root) for name, child in value.items()}
        elif word in _IN_ONE:
            loose[word] = _loosened(value, root)
        elif word in _IN_LIST:
            loose[word] = [_loosened(child, root) for child in value]
        elif word not in _FOREIGN:
            loose[word] = value
    if schema.get("writeOnly") or schema.get("format") == "password":
        return {**{word: loose[word] for word in _TELLING if word in loose and word != "default"}, **_SECRET}
    if not _may_be_a_variable(schema):
        return loose
    outer = {word: loose.pop(word) for word in _TELLING if word in loose}
    return {**outer, "anyOf": [loose, dict(VARIABLE_SCHEMA)]}


def _may_be_a_variable(schema: Mapping[str, Any]) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    named = schema.get("type", ())
    types = {named} if isinstance(named, str) else set(named)
    return bool(types & {"integer", "number", "boolean"}) and "string" not in types
