"""Where no terminal shows a bar, work that takes minutes says now and then what it does."""

from niah.suite.scan_progress import Lines, tracked


def test_lines_come_after_ten_seconds_and_then_each_minute(capsys):
    times = iter([0.0, 9.0, 10.0, 10.0, 69.0, 71.0, 71.0])  # at the start, at each look, and once more after a line
    lines = Lines(1500, "scanning haystacks", "file", lambda: next(times))
    for _ in range(4):
        lines.update(300)
    assert (
        capsys.readouterr().err == "scanning haystacks: 600 of 1,500 files\nscanning haystacks: 1,200 of 1,500 files\n"
    )


def test_what_is_quick_says_nothing(capsys):
    assert list(tracked([1, 2], "scanning needles")) == [1, 2]
    assert capsys.readouterr().err == ""
