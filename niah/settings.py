"""Read settings: one YAML file into one frozen dataclass; an unknown key is an error that lists the known ones."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from niah.types import UserError

T = typing.TypeVar("T")


def unknown_name(what: str, name: str, known: typing.Sequence[str]) -> str:
    """Say that there is no such thing, and which one may have been meant."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"no {what} is called {name!r}.{meant} Known: {', '.join(str(k) for k in known)}."


def positive_int(name: str, value: typing.Any) -> int:
    """Return a setting that counts something. Raises UserError for anything but a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} must be a whole number from 1 on, got {value!r}; fix --model_args")
    return value


def read_yaml(cls: type[T], path: Path) -> T:
    """Read one YAML file into one dataclass. Raises UserError naming the file and the key."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a YAML file that does") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a YAML file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    return from_mapping(cls, values, str(path))


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """Build dataclass `cls` from a mapping, nested dataclasses and tuples included."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: wanted keys and values for {cls.__name__.lower()}, got {values!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise UserError(f"{where}: {unknown_name('key', key, sorted(fields))}")
    required = (f for f in fields.values() if f.default is f.default_factory is dataclasses.MISSING)
    missing = [field.name for field in required if field.name not in values]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given")
    converted = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Turn a YAML value into what the field's type hint asks for, or say what was wanted."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where} must be a list, got {value!r}")
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # rate: 1 is as good as rate: "1"
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{where} must be of type {hint.__name__}, got {value!r}")
    return value
