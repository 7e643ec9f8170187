"""The table of what a model was shown."""

from niah.analysis.load import read_run
from niah.analysis.shown import shown_summary
from tests.helpers.fake_runs import make_case, make_record, write_run

LENGTHS = (2000, 4000)


def cases():
    return [make_case(f"n{number}", length=length) for length in LENGTHS for number in range(3)]


def test_frames_pixels_tokens_times_and_cut_replies_are_told_for_each_length(tmp_path):
    sizes = {2000: (128, 96), 4000: (64, 32)}
    records = [
        make_record(
            case, frames_used=1000, frame_size=sizes[case.length], language_tokens=8100, frame_times=case.length == 2000,
            finish_reason="length" if case.needle == "n0" else "stop", settings={"tokens_per_frame": 8.0},
        )
        for case in cases()
    ]  # fmt: skip
    lines = shown_summary([read_run(write_run(tmp_path, cases(), records))]).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["2K", "1,000", "of", "2,000", "128x96", "8.0", "8,100", "yes", "1", "of", "3"],
        ["4K", "1,000", "of", "4,000", "64x32", "8.0", "8,100", "no", "1", "of", "3"],
    ]


def test_nothing_is_told_of_records_without_a_size(tmp_path):
    records = [make_record(case, frames_used=1000) for case in cases()]
    assert shown_summary([read_run(write_run(tmp_path, cases(), records))]) == ""


def test_what_a_reply_does_not_say_is_unknown(tmp_path):
    records = [make_record(case, frame_size=(64, 64)) for case in cases()]
    lines = shown_summary([read_run(write_run(tmp_path, cases(), records))]).splitlines()
    assert lines[2].split() == ["2K", "0", "of", "2,000", "64x64", "?", "?", "?", "0", "of", "3"]
