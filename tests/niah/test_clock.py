"""Times as people write them."""

from fractions import Fraction

import pytest

from niah.clock import clock_ranges, clock_seconds, format_clock

CLOCKS = [(0, "0:00"), (59, "0:59"), (75, "1:15"), (600, "10:00"), (3600, "1:00:00"), (36_015, "10:00:15")]


@pytest.mark.parametrize("seconds, text", CLOCKS)
def test_a_clock_shows_minutes_and_from_an_hour_on_hours(seconds, text):
    assert format_clock(seconds) == text
    assert clock_seconds(text) == seconds


def test_halves_of_the_last_digit_are_rounded_up():
    assert [format_clock(Fraction(n, 20), 1) for n in (1, 2, 3)] == ["0:00.1", "0:00.1", "0:00.2"]
    assert format_clock(Fraction(599, 10)) == "1:00"


def test_ranges_are_found_in_an_option():
    option = "1:59:30 to 2:00:00, or 0:00.5 to 3:20"
    assert clock_ranges(option) == [(7170, 7200), (Fraction(1, 2), 200)]
    assert clock_ranges("between noon and 3:20") == []
