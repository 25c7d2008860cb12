"""Contracts: the schema of the events on a port, and what checks events against it.

A message of refusal names the field and the reason, never a value: it goes to logs. The value is in the dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreConfig, PydanticSerializationError, SchemaSerializer, SchemaValidator

from streamlets.errors import Broken, Fatal, Rejected

_NAMED = 3  # problems told of one event; the rest are counted, so that a message stays a line
_WIDEST = 120  # of a field's path or a reason, in characters: names of unknown fields come from outside
_MODULES = re.compile(r"(?:\w+\.)+(?:<locals>\.)?")
_DECIMAL = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"
_RAW = msgspec.json.Decoder(msgspec.Raw)
_VALUE = msgspec.json.Decoder()
_WRITER = msgspec.json.Encoder()
# pydantic's errors whose text repeats what was sent, or is written by the author of a validator.
_TELLING = frozenset(
    [
        "get_attribute_error",
        "iteration_error",
        "mapping_type",
        "uuid_parsing",
        "url_parsing",
        "url_syntax_violation",
        "datetime_object_invalid",
    ]
)


class Contract(Protocol):
    """The schema of the events on a port.

    Checked where an event enters the application and where a user's code returns one; trusted in between.
    """

    @property
    def name(self) -> str:
        """The contract's name: a model's class name, or the name the blueprint gives it."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """Return the contract as JSON Schema 2020-12, self-contained."""
        ...

    def check(self, data: bytes | None) -> None:
        """Return when the data keep the contract: for who needs the bytes only. Raises: as `decode`."""
        ...

    def decode(self, data: bytes | None) -> Any:
        """Return the object of an event's data, checked. Raises: Rejected (`against-contract`), naming the field."""
        ...

    def encode(self, value: Any) -> bytes:
        """Return a value as an event's data, checked. Raises: Broken when the value breaks the contract."""
        ...


def decode_json(data: bytes | None, name: str = "JSON") -> Any:
    """Return the value of JSON data. NaN and infinities are not JSON. Raises: Rejected (`against-contract`)."""
    if data is None:
        raise _rejected(name, "no data (a tombstone)")
    try:
        return _VALUE.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _rejected(name, f"not JSON: {_reason(exc)}") from exc


def encode_json(value: Any, name: str = "JSON") -> bytes:
    """Return a value of dicts, lists, text, numbers, booleans and None as JSON. Raises: Broken, for NaN too."""
    try:
        data = _WRITER.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise _broken(name, f"a {type(value).__name__} that cannot be written as JSON") from exc
    # The encoder writes NaN as null; only where a null came out is it worth a look at what went in.
    if b"null" in data and (path := _not_finite(msgspec.to_builtins(value))) is not None:
        raise _broken(name, f"{path or 'the value'}: not a finite number")
    return data


def _not_finite(value: Any) -> str | None:
    """Return the path of the first NaN or infinity in plain JSON values, or None."""
    parts = (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [value])
    )
    for key, part in parts:
        kind = part.__class__
        if kind is float:
            if part - part != 0:
                return str(key)[:_WIDEST] if value.__class__ in (dict, list) else ""
        elif (kind is dict or kind is list) and (below := _not_finite(part)) is not None:
            return f"{key}.{below}"[:_WIDEST]
    return None


class _Schema(GenerateJsonSchema):
    """JSON Schema in which a field that is always written is required, whatever its default."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Say which text is a decimal; as it is, any would do."""
        found = super().decimal_schema(schema)
        for one in (found, *found.get("anyOf", ())):
            if one.get("type") == "string":
                one.setdefault("pattern", _DECIMAL)
        return found

    def set_schema(self, schema: Any) -> dict[str, Any]:
        return self._accepting_twice(super().set_schema(schema))

    def frozenset_schema(self, schema: Any) -> dict[str, Any]:
        return self._accepting_twice(super().frozenset_schema(schema))

    def _accepting_twice(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a set: none is written with an item twice, but pydantic reads such a list."""
        return (
            found if self.mode == "serialization" else {k: v for k, v in found.items() if k != "uniqueItems"}
        )


def name_of(kind: Any) -> str:
    """Return a type's name as one writes it: `Departure`, `Cat | Dog`, `list[int]`."""
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else _MODULES.sub("", str(kind))


class PydanticContract:
    """The contract of a Python type that pydantic knows: a model, a dataclass, a TypedDict.

    `json_schema` tells what is accepted (`validation`), or what is written (`serialization`: defaults are filled in).
    NaN and infinities are refused in both directions, because JSON has none.
    """

    def __init__(self, kind: Any, mode: Literal["validation", "serialization"] = "validation") -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._mode = mode
        self._name = name_of(kind)
        schema = _tightened(self._adapter.core_schema)
        # Otherwise pydantic takes the validator that the model has already, in spite of the schema.
        self._validator = SchemaValidator(schema, _use_prebuilt=False)
        self._serializer = SchemaSerializer(
            schema, CoreConfig(ser_json_inf_nan="constants"), _use_prebuilt=False
        )
        self._validate_json = self._validator.validate_json

    def __repr__(self) -> str:
        return f"PydanticContract({self._name})"

    @property
    def name(self) -> str:
        """The name of the type."""
        return self._name

    def json_schema(self) -> dict[str, Any]:
        """Return the type as JSON Schema 2020-12. Raises: Fatal where it holds what JSON Schema cannot say."""
        try:
            schema = self._adapter.json_schema(mode=self._mode, schema_generator=_Schema)
        except PydanticInvalidForJsonSchema as exc:
            raise Fatal(f"contract {self._name} has no JSON Schema: {exc.message}", code="bad-value") from exc
        return {"title": self._name, **schema}

    def check(self, data: bytes | None) -> None:
        """Return when the data keep the contract. Raises: Rejected (`against-contract`)."""
        self.decode(data)

    def decode(self, data: bytes | None) -> Any:
        """Return the checked object of an event's data. Raises: Rejected (`against-contract`), naming the field."""
        if data is None:
            raise _rejected(self._name, "no data (a tombstone)")
        if (
            b"NaN" in data or b"Infinity" in data
        ):  # pydantic takes the bare words, wherever it has no type for them
            _refuse_constants(data, self._name)
        try:
            return self._validate_json(data)
        except ValidationError as exc:
            raise _rejected(self._name, problems(exc)) from exc

    def encode(self, value: Any) -> bytes:
        """Return a value as data, checked again: an object can have been changed since it was made.

        Raises: Broken (`against-contract`), naming the field.
        """
        try:
            checked = self._validator.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as exc:
            raise _broken(self._name, problems(exc)) from exc
        try:
            data = self._serializer.to_json(checked, by_alias=True)
        except PydanticSerializationError as exc:
            raise _broken(self._name, "holds what cannot be written as JSON") from exc
        if b"NaN" in data or b"Infinity" in data:
            try:
                _RAW.decode(data)
            except msgspec.DecodeError as exc:
                raise _broken(self._name, "holds a number that is not finite") from exc
        return data


def _tightened(schema: Any) -> Any:
    """Return pydantic's core schema with finite floats only, and instances checked again.

    Done once, on the schema, because a check of each value afterwards would cost more than the validation.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(map(_tightened, schema))
    if not isinstance(schema, dict):
        return schema
    kept = {k: v if k in ("metadata", "default") else _tightened(v) for k, v in schema.items()}
    if kept.get("type") == "float":
        kept["allow_inf_nan"] = False
    elif kept.get("type") in ("model", "dataclass", "typed-dict"):
        kept["config"] = {**kept.get("config", {}), "ser_json_inf_nan": "constants"}
        if kept["type"] != "typed-dict":
            kept["revalidate_instances"] = "always"
    return kept


def _refuse_constants(data: bytes, name: str) -> None:
    try:
        _RAW.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise _rejected(name, f"not JSON: {_reason(exc)}") from exc


def problems(error: ValidationError) -> str:
    """Return what is wrong as `field: reason` for the first few fields, without a value of them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = []
    for one in found[:_NAMED]:
        kind, path = one["type"], ".".join(map(str, one["loc"]))[:_WIDEST]
        if kind in ("value_error", "assertion_error"):
            reason = "refused by a validator of the model"
        elif kind == "union_tag_invalid":
            reason = "the tag is none of those expected"
        elif kind in _TELLING:
            reason = f"not valid ({kind})"
        elif kind == "json_invalid" or _is_built_in(kind):
            reason = one["msg"][:_WIDEST]
        else:
            reason = f"refused by a validator of the model ({kind[:_WIDEST]})"
        told.append(f"{path}: {reason}" if path else reason)
    return _joined(told, len(found))


def _is_built_in(kind: str) -> bool:
    from pydantic_core._pydantic_core import list_all_errors  # here, because only a refusal needs it

    return any(known["type"] == kind for known in list_all_errors())


def _joined(told: list[str], total: int) -> str:
    more = f" (and {total - len(told)} more)" if total > len(told) else ""
    return "; ".join(told) + more


def _reason(exc: Exception) -> str:
    """Return the parser's words: they name a position, never a value."""
    return (
        "nested too deeply"
        if isinstance(exc, RecursionError)
        else str(exc).removeprefix("JSON is malformed: ")
    )


def _rejected(name: str, why: str) -> Rejected:
    return Rejected(f"against contract {name}: {why}", code="against-contract")


def _broken(name: str, why: str) -> Broken:
    return Broken(f"against contract {name}: {why}", code="against-contract")


class JsonSchemaContract:
    """The contract of a JSON Schema, of the draft that `$schema` names, else 2020-12. Formats are checked.

    Raises: Fatal (`bad-value`) when the schema is none, or refers to another file or the network.
    """

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        import jsonschema_rs  # here, because only blueprints with such a contract need it

        self._name = name
        self._schema = dict(schema)
        try:
            self._validator = jsonschema_rs.validator_for(
                self._schema, validate_formats=True, mask="the value", offline=True
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
            reason = str(exc).splitlines()[0][:_WIDEST]
            raise Fatal(
                f"contract {name} is no JSON Schema that can be used: {reason}",
                code="bad-value",
                hint="it must be whole in one file",
            ) from exc
        self._is_valid = self._validator.is_valid

    def __repr__(self) -> str:
        return f"JsonSchemaContract({self._name})"

    @property
    def name(self) -> str:
        """The name that the blueprint gives it."""
        return self._name

    def json_schema(self) -> dict[str, Any]:
        """Return the schema as it was given."""
        return self._schema

    def check(self, data: bytes | None) -> None:
        """Return when the data keep the contract. Raises: Rejected (`against-contract`)."""
        self.decode(data)

    def decode(self, data: bytes | None) -> Any:
        """Return the checked value of an event's data. Raises: Rejected (`against-contract`), naming the field."""
        value = decode_json(data, self._name)
        if not self._is_valid(value):
            raise _rejected(self._name, self._problems(value))
        return value

    def encode(self, value: Any) -> bytes:
        """Return a value as data, checked. Raises: Broken (`against-contract`), naming the field."""
        data = encode_json(value, self._name)
        # What is read back is what a consumer sees: tuples are lists by then, keys are text.
        if not self._is_valid(read := _VALUE.decode(data)):
            raise _broken(self._name, self._problems(read))
        return data

    def _problems(self, value: Any) -> str:
        found = list(self._validator.iter_errors(value))
        told = []
        for one in found[:_NAMED]:
            path = ".".join(map(str, one.instance_path))[:_WIDEST]
            reason = one.message[:_WIDEST]
            told.append(f"{path}: {reason}" if path else reason)
        return _joined(told, len(found))
