"""Values from files and callers are checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from niah.settings import check_types, is_int, is_number, positive_int, unknown_name
from niah.types import UserError


@dataclass
class Inner:
    number: int


@dataclass
class Outer:
    name: str
    share: float = 0.5
    counts: tuple[int, ...] = ()
    scores: tuple[float, ...] | None = None
    inner: tuple[Inner, ...] = ()
    extra: Any = None
    more: Mapping[str, Any] | None = None


@pytest.mark.parametrize(
    "values",
    [
        {"share": 1, "counts": (1, 2), "scores": (0.5, 1)},
        {"inner": (Inner(1), Inner(2)), "extra": object(), "more": {"a": 1}},
        {"scores": None, "more": None},
    ],
)
def test_values_of_the_right_types_pass(values):
    outer = Outer("a", **values)
    assert check_types(outer) is outer


@pytest.mark.parametrize(
    "values, said",
    [
        ({"name": 3}, "name must be of type str, got 3"),
        ({"share": True}, "share must be of type float, got True"),
        ({"share": float("nan")}, "share must be of type float, got nan"),
        ({"counts": (1, "2")}, r"counts must be of type tuple\[int, ...\]"),
        ({"counts": (True,)}, "counts must be"),
        ({"scores": (float("inf"),)}, r"scores must be of type tuple\[float, ...\] \| None"),
        ({"inner": (Inner("x"),)}, "number must be of type int, got 'x'"),
        ({"more": [1]}, "more must be of type .*Mapping"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_field(values, said):
    with pytest.raises(TypeError, match=said):
        check_types(Outer(**{"name": "a", **values}))


@pytest.mark.parametrize(
    "value, good", [(1, True), (0, False), (True, False), (1.0, False), ("1", False), (None, False)]
)
def test_whole_numbers(value, good):
    assert is_int(value) is good
    if good:
        assert positive_int("frames", value) == value
    else:
        with pytest.raises(UserError, match="frames must be a whole number from 1 up, got .*; fix --model_args"):
            positive_int("frames", value)


def test_the_least_whole_number_can_be_chosen():
    assert is_int(0, least=0) and not is_int(1, least=2)


@pytest.mark.parametrize(
    "value, good", [(1, True), (-0.5, True), (float("nan"), False), (float("inf"), False), (False, False), ("1", False)]
)
def test_finite_numbers(value, good):
    assert is_number(value) is good


def test_an_unknown_name_is_answered_with_the_closest_one():
    assert unknown_name("model", "seekr", ["chance", "seeker"]) == (
        "no model is called 'seekr'. Did you mean 'seeker'? Known: chance, seeker."
    )
    assert unknown_name("model", "x", ["seeker"]) == "no model is called 'x'. Known: seeker."
