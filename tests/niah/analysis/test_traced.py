"""Fits of traced memory: straight lines between two lengths, a margin, and nothing said beyond them."""

import pytest

from niah.analysis.traced import GIB, TracedCosts, find_fit, judge, longest_fitting, read_traced, write_traced
from niah.types import UserError


def costs(frames, gib, execution="streamed", model="vilamp", size="7b"):
    return TracedCosts(
        model, size, execution, frames, frames, 15 * GIB, round(gib * GIB), 2 * 10**12, "2.14.1", "5.24.0"
    )


def test_between_two_lengths_memory_lies_on_the_straight_line():
    rows = [costs(1000, 20), costs(64, 16), costs(3000, 50)]
    assert find_fit(rows, 2000).peak_bytes(2000) == 35 * GIB
    assert find_fit(rows, 64).peak_bytes(64) == 16 * GIB
    assert find_fit(rows, 3000).peak_bytes(3000) == 50 * GIB


@pytest.mark.parametrize("frames", [63, 3001])
def test_beyond_the_traced_lengths_nothing_is_said(frames):
    with pytest.raises(
        UserError, match=r"no stored fit of vilamp, streamed, covers .* 64 to 3,000 were traced.*--traced"
    ):
        find_fit([costs(64, 16), costs(3000, 50)], frames)


@pytest.mark.parametrize(
    "gib, execution, memory, fits",
    [
        (20.0, "streamed", 21.5, True),  # 20.2 and 1.3 of context
        (20.0, "streamed", 21.4, None),
        (20.0, "streamed", 19.9, None),  # within 1 % of the trace
        (20.0, "streamed", 19.7, False),
        (20.0, "as_released", 23.3, True),  # 22 and 1.3
        (20.0, "as_released", 23.2, None),
    ],
)
def test_a_verdict_leaves_open_what_the_margin_does(gib, execution, memory, fits):
    assert judge([costs(100, gib, execution)], 100, memory * GIB).fits is fits


def test_the_longest_length_that_fits_is_found_to_the_frame():
    rows = [costs(100, 10), costs(1100, 110)]  # a GiB for ten frames
    assert longest_fitting(rows, (50 * 1.01 + 1.3) * GIB) == 500
    assert longest_fitting(rows, 200 * GIB) == 1100
    assert longest_fitting(rows, 5 * GIB) is None


def test_what_was_written_is_read_again(tmp_path):
    rows = [costs(64, 16.25), costs(64, 21, "as_released")]
    write_traced(tmp_path / "traced.csv", rows[::-1])
    assert read_traced(tmp_path / "traced.csv") == rows
    assert (tmp_path / "traced.csv").read_text().splitlines()[1].endswith(",16.25,2.0,1.0")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("frames,gib\n1,2\n")
    with pytest.raises(UserError, match="no file of traced costs"):
        read_traced(tmp_path / "other.csv")
    with pytest.raises(UserError, match="niah bench NAME --traced writes one"):
        read_traced(tmp_path / "absent.csv")
