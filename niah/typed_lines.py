"""Decode JSON lines into a dataclass by msgspec, types checked: tables of 75,000 cases are mostly this.

What it refuses is for `from_json` and `check_types` to read, which say what is wrong, or that nothing is: Python's JSON
allows more than msgspec does, such as lone surrogates. Only the runner reads so; a worker needs no msgspec.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Annotated, Any, Tuple, TypeVar  # noqa: UP035

import msgspec

from niah.types import SHARED, Span, shared_span

T = TypeVar("T")


def line_decoder(cls: type[T], check: Callable[[T], Any] = lambda value: None) -> Callable[[bytes], T | None]:
    """Return a function that decodes a line; it returns None for a line that must be read with care.

    Values that many lines share are one object. `check` raises TypeError or ValueError for what types do not say.
    """
    decode, astuple = msgspec.json.Decoder(_mirror(cls)).decode, msgspec.structs.astuple
    hints = list(typing.get_type_hints(cls).items())
    numbers = [place for place, (_, hint) in enumerate(hints) if hint == NUMBERS]
    shared = [place for place, (name, hint) in enumerate(hints) if name in SHARED or hint == TEXTS]
    nested = [(place, _maker(hint)) for place, (_, hint) in enumerate(hints) if _maker(hint) is not None]
    known: dict[Any, Any] = {}
    get, share = known.get, known.setdefault

    @lru_cache(maxsize=1024)  # many models keep the same frames of all videos of a length
    def as_numbers(text: bytes) -> tuple[int, ...]:
        return tuple([share(number, number) for number in msgspec.json.decode(text, type=NUMBERS)])

    def decoded(line: bytes) -> T | None:
        try:
            values = list(astuple(decode(line)))
            for place in numbers:
                values[place] = as_numbers(bytes(values[place]))
            for place in shared:
                value = values[place]
                values[place] = get(value) or share(value, value)
            for place, of in nested:
                if values[place]:
                    values[place] = tuple([of(*astuple(one)) for one in values[place]])
            made = cls(*values)
            check(made)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError):
            return None
        return made

    return decoded


NUMBERS, TEXTS = Tuple[int, ...], Tuple[str, ...]  # noqa: UP006  # as `niah.types` writes them


@cache
def _mirror(cls: type) -> type:
    """Return a dataclass as msgspec's own, which is decoded faster and refuses unknown fields."""
    fields: list[Any] = []
    for field in dataclasses.fields(cls):
        hint = _mirrored(typing.get_type_hints(cls)[field.name])
        if field.default is not dataclasses.MISSING:
            fields.append((field.name, hint, field.default))
        elif field.default_factory is not dataclasses.MISSING:
            fields.append((field.name, hint, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, hint))
    return msgspec.defstruct(cls.__name__, fields, forbid_unknown_fields=True, gc=False)


def _mirrored(hint: Any) -> Any:
    """Return the type hint of a field with mirrors for dataclasses, and frame numbers left as text."""
    if dataclasses.is_dataclass(hint):
        return _mirror(typing.cast(type, hint))
    if hint == NUMBERS:
        return msgspec.Raw
    if hint is float:
        # A whole number stays one, so that a case that is read and written keeps its hash.
        return Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | float
    parts = tuple(map(_mirrored, typing.get_args(hint)))
    return hint if parts == typing.get_args(hint) else typing.get_origin(hint)[parts]


def _maker(hint: Any) -> Any:
    """Return what makes each of the dataclasses that a field holds several of; None for another field."""
    if hint is Span:
        return shared_span
    return hint if dataclasses.is_dataclass(hint) else next(filter(None, map(_maker, typing.get_args(hint))), None)
