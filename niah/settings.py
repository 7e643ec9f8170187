"""Read settings into frozen dataclasses, and check values from files, command lines and callers.

Each YAML file is read into one dataclass; an unknown key is an error that lists the known ones. This
module imports on Python 3.9 without yaml, because workers use it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from niah.io import read_regular
from niah.types import UserError

T = typing.TypeVar("T")
Check = typing.Callable[[Any], bool]
UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))  # Optional[int]; int | None, from Python 3.10


def brief(value: Any) -> str:
    """Return a value for a message, cut short: a few lines of YAML can name more items than fit into memory."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 200, 200
    return short.repr(value)


def unknown_name(what: str, name: str, known: typing.Iterable[str]) -> str:
    """Return the message for a name that does not exist: the closest known name, and all known names."""
    names = [str(known_name) for known_name in known]
    matches = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {matches[0]!r}?" if matches else ""
    return f"no {what} is called {name!r}.{hint} Known: {', '.join(names)}."


def read_yaml(cls: type[T], path: Path) -> T:
    """Read one YAML file into one dataclass. Raises UserError naming the file and the key."""
    import yaml  # here, because a worker's interpreter may not have it

    try:
        values = yaml.safe_load(read_regular(Path(path)).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a YAML file that does") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a YAML file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    except RecursionError:
        raise UserError(f"{path} nests deeper than any settings do; name another YAML file") from None
    return from_mapping(cls, values, str(path))


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """Build a dataclass from a mapping, nested dataclasses and tuples included.

    `where` starts every message, for instance the file's path. Raises UserError for an unknown or missing key, a
    value of the wrong type, and a ValueError of the dataclass itself.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected keys and values for {cls.__name__.lower()}, got {brief(values)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise UserError(f"{where}: {unknown_name('key', key, sorted(fields))}")
    required = (f for f in fields.values() if f.default is f.default_factory is dataclasses.MISSING)
    missing = [field.name for field in required if field.name not in values]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given")
    hints = _type_hints(cls)
    converted = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def is_int(value: Any, least: int = 1) -> bool:
    """Return True if a value is a whole number of at least `least`. True and False are not numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Return True if a value is a finite int or float. True and False are not numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: Any) -> bool:
    """Return True for a number that a float can hold; JSON has whole numbers of any size."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def positive_int(name: str, value: Any, remedy: str = "fix --model_args") -> int:
    """Return a whole number from 1 up. Raises UserError, naming the setting and the remedy, for anything else."""
    if not is_int(value):
        raise UserError(f"{name} must be a whole number from 1 up, got {value!r}; {remedy}")
    return value


def check_types(value: T) -> T:
    """Return a dataclass if its fields match their type hints, nested dataclasses included.

    For dataclasses built from JSON, as Python checks no types. Raises TypeError naming the field.
    """
    for name, hint, at_once, matches in _checks(type(value)):
        field_value = getattr(value, name)
        if type(field_value) not in at_once and not matches(field_value):
            wanted = hint.__name__ if typing.get_origin(hint) is None else str(hint).replace("typing.", "")
            raise TypeError(f"{name} must be of type {wanted}, got {brief(field_value)}")
    return value


@cache
def _type_hints(cls: type) -> dict[str, Any]:
    """Return the type of each field of a dataclass."""
    return typing.get_type_hints(cls)


@cache
def _checks(cls: type) -> tuple[tuple[str, Any, frozenset[type], Check], ...]:
    """Return name, type hint, types that match whatever the value, and check of each field.

    Made once, as a run has a hundred thousand cases and records.
    """
    return tuple((name, hint, _matching_types(hint), _check_of(hint)) for name, hint in _type_hints(cls).items())


def _matching_types(hint: Any) -> frozenset[type]:
    """Return types of which every value matches a type hint."""
    origin = typing.get_origin(hint)
    if origin in UNIONS:
        return frozenset().union(*map(_matching_types, typing.get_args(hint)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return frozenset({dict})
    return frozenset({hint}) & {str, int, bool, type(None)}


def _check_of(hint: Any) -> Check:
    """Return a function that returns True for a value that matches a type hint."""
    if hint is Any:
        return lambda value: True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        options = tuple(map(_check_of, arguments))
        return lambda value: any(matches(value) for matches in options)
    if origin is tuple:
        exactly, item = {int, str} & {arguments[0]}, _check_of(arguments[0])
        # The types first, at once: a record may hold a thousand numbers of frames.
        return lambda value: isinstance(value, tuple) and (set(map(type, value)) <= exactly or all(map(item, value)))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value: isinstance(value, Mapping)
    if hint is float:
        return is_number
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda value: isinstance(value, hint) and check_types(value) is value
    if hint is bool:
        return lambda value: isinstance(value, bool)
    return lambda value: isinstance(value, hint) and not isinstance(value, bool)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Convert a YAML value to the type of its field. Raises UserError if that is impossible."""
    if typing.get_origin(hint) in UNIONS:
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where} must be a list, got {brief(value)}")
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # rate: 1 means rate: "1"
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{where} must be of type {hint.__name__}, got {brief(value)}")
    return value
