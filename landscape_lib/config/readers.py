"""Which values a key may have, how they are read, and how we say so."""

import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

FUNCTION_ALLOWED = "'path/to/file.py:function', 'package.module:function'"
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def refusal(allowed: str, choices: Sequence[str] = ()) -> PydanticCustomError:
    """Return the error of a value that is none of those allowed.

    Args:
        allowed: What the message says is allowed.
        choices: Words of which the nearest is proposed.
    """
    return PydanticCustomError(
        "refusal", "{allowed}", {"allowed": allowed, "choices": tuple(choices)}
    )


@dataclass(frozen=True)
class Reader:
    """Annotation of a field: reads what YAML gave, or refuses it in our words.

    Attributes:
        read: Returns the value in its one canonical form; a ValueError refuses.
        allowed: Ends the sentence "found 5; allowed: ...".
        schema: The same as JSON schema.
        choices: Words of which the nearest is proposed for a misspelt one.
        first: What ``read`` returns is handed on to the type that is annotated, which has
            readers of its own (a list and its items).
    """

    read: Callable[[Any], Any]
    allowed: str
    schema: Mapping[str, Any] = field(hash=False)
    choices: tuple[str, ...] = ()
    first: bool = False

    def __or__(self, other: "Reader") -> "Reader":
        def either(value: Any) -> Any:
            try:
                return self.read(value)
            except ValueError:
                return other.read(value)

        return Reader(
            either,
            f"{self.allowed}, {other.allowed}",
            {"anyOf": [self.schema, other.schema]},
            self.choices + other.choices,
        )

    def _read(self, value: Any) -> Any:
        try:
            return self.read(value)
        except ValueError:
            raise refusal(self.allowed, self.choices) from None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        if self.first:
            return core_schema.no_info_before_validator_function(self._read, handler(source))
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


def _require(right: bool) -> None:
    if not right:
        raise ValueError


def words(*choices: str) -> Reader:
    """Accept one of some words."""

    def read(value: Any) -> str:
        _require(isinstance(value, str) and value in choices)
        return str(value)

    return Reader(read, ", ".join(map(repr, choices)), {"enum": list(choices)}, choices)


def text(allowed: str = "a string that is not empty", pattern: str = r"[\s\S]*\S[\s\S]*") -> Reader:
    """Accept a string that matches a pattern."""

    def read(value: Any) -> str:
        _require(isinstance(value, str) and re.fullmatch(pattern, value) is not None)
        return str(value)

    return Reader(read, allowed, {"type": "string", "pattern": f"^(?:{pattern})$"})


def number(
    allowed: str = "a number", *, above: float | None = None, below: float | None = None
) -> Reader:
    """Accept a finite number, also in quotes; true and false are none."""

    def read(value: Any) -> float:
        _require(not isinstance(value, bool) and isinstance(value, int | float | str))
        _require(not isinstance(value, str) or _DECIMAL.fullmatch(value) is not None)
        try:
            found = float(value) + 0.0  # -0.0 becomes 0.0: one spelling
        except OverflowError:  # an integer of 400 digits
            raise ValueError from None
        _require(math.isfinite(found) and (above is None or found > above))
        _require(below is None or found < below)
        return found

    limit = {} if above is None else {"exclusiveMinimum": above}
    limit |= {} if below is None else {"exclusiveMaximum": below}
    return Reader(read, allowed, {"type": "number", **limit})


def whole(low: int) -> Reader:
    """Accept a whole number from ``low``, also in quotes; 51.0 is none."""

    def read(value: Any) -> int:
        if isinstance(value, str):
            _require(re.fullmatch(r"[-+]?[0-9]+", value) is not None)
            value = int(value)
        _require(isinstance(value, int) and not isinstance(value, bool) and value >= low)
        return int(value)

    return Reader(read, f"a whole number from {low}", {"type": "integer", "minimum": low})


def rank() -> Reader:
    """Accept a whole number that is not 0, also in quotes: from one end, or from the other."""

    def read(value: Any) -> int:
        found = whole(-(10**9)).read(value)
        _require(found != 0)
        return found

    return Reader(read, "a whole number but 0", {"type": "integer", "not": {"const": 0}})


def anything_plain() -> Reader:
    """Accept what JSON has, too; return a copy, since YAML's aliases share their values."""

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: read(item) for key, item in value.items() if _plain_key(key)}
        if isinstance(value, list):
            return [read(item) for item in value]
        _require(value is None or isinstance(value, bool | int | float | str))
        return value

    def _plain_key(key: Any) -> bool:
        _require(key is None or isinstance(key, bool | int | float | str))
        return True

    return Reader(read, "null, true, false, numbers, strings, lists and mappings of them", {})


def a_list(
    allowed: str,
    schema: Mapping[str, Any],
    length: int | None = None,
    *,
    null: bool = False,
    null_is_empty: bool = False,
) -> Reader:
    """Accept a list; its items have readers of their own.

    Args:
        allowed: What the message says is allowed.
        schema: The same as JSON schema.
        length: How many items it must have.
        null: Null is a value of its own.
        null_is_empty: Nothing behind the key is an empty list.
    """

    def read(value: Any) -> tuple[Any, ...] | None:
        if value is None and null:
            return None
        items = [] if value is None and null_is_empty else value
        _require(isinstance(items, list | tuple) and length in {None, len(items)})
        return tuple(items)

    if null:
        allowed, schema = f"{allowed}, null", {"anyOf": [schema, NULL.schema]}
    return Reader(read, allowed, schema, first=True)


def a_mapping(allowed: str, schema: Mapping[str, Any]) -> Reader:
    """Accept a mapping, empty where nothing stands behind the key; its values have readers."""

    def read(value: Any) -> dict[Any, Any]:
        _require(value is None or isinstance(value, dict))
        return value or {}

    return Reader(read, allowed, schema, first=True)


def _function(value: Any) -> str:
    _require(isinstance(value, str))
    place, _, name = value.rpartition(":")
    parts = [name] if place.endswith(".py") else [name, *place.split(".")]
    _require(all(part.isidentifier() and not keyword.iskeyword(part) for part in parts))
    return str(value)


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


def _null(value: Any) -> None:
    _require(value is None)


def _null_as_none(value: Any) -> str:
    _require(value is None)
    return "none"


def _plain_mapping(value: Any) -> dict[Any, Any]:
    _require(isinstance(value, dict))
    return anything_plain().read(value)


FUNCTION = Reader(_function, FUNCTION_ALLOWED, {"type": "string", "pattern": r"^.+:[^\W\d]\w*$"})
FLAG = Reader(_flag, "true, false", {"type": "boolean"})
NULL = Reader(_null, "null", {"type": "null"})
PLAIN_MAPPING = Reader(_plain_mapping, "a mapping", {"type": "object"})
NULL_AS_NONE = Reader(_null_as_none, "null", {"type": "null"})
