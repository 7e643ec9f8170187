"""Figure 1 and Table 5 from traced costs: axis, limit, marks, legend, and which published points are explained."""

import csv

import pytest
from matplotlib.colors import to_hex

from niah.figures.paper.efficiency import _from_axis, _to_axis, draw_figure1, draw_table5, efficiency_rows, reconcile
from tests.helpers.commands import paper as main
from tests.niah.analysis.test_traced import costs

ROWS = [
    costs(64, 16), costs(8192, 17), costs(10000, 18),
    costs(64, 21.2, "as_released"), costs(1024, 40, "as_released"), costs(8192, 200, "as_released"),
]  # fmt: skip


def test_ticks_of_the_papers_axis_are_equally_far_apart():
    assert _to_axis([0, 64, 1000, 10000]).tolist() == [0, 1, 2, 3]
    assert _to_axis(32) == 0.5 and _to_axis(5500) == 2.5
    back = _from_axis(_to_axis([-10, 0, 17, 532, 9999, 12000]))
    assert back.tolist() == pytest.approx([-10, 0, 17, 532, 9999, 12000])


def test_a_line_ends_at_80_gb_with_a_cross_where_it_leaves_the_card():
    axes = draw_figure1(efficiency_rows(ROWS)).axes[0]
    released = next(line for line in axes.lines if line.get_linestyle() == "--")
    # from 1,024 frames and 40 GiB to 8,192 and 200: 80 lies a quarter of the way
    assert (released.get_xdata()[-1], released.get_ydata()[-1]) == (2816, 80)
    crosses = {line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())}
    assert crosses == {2816, 256, 1024}  # published OOM of LongVA begins at 256 frames, of LLaVA-Video at 1,024
    assert [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]] == [80]


def test_the_legend_never_calls_a_traced_line_measured():
    labels = [text.get_text() for text in draw_figure1(efficiency_rows(ROWS)).legends[0].get_texts()]
    *others, streamed, released, published, crossed = labels
    assert (streamed, released) == ("traced, no GPU: streamed", "traced, no GPU: as released")
    assert (published, crossed) == ("published, measured by its authors", "OOM: more than 80 GB")
    assert others[0] == "ViLaMP" and "measured" not in "".join(others)


def test_a_model_has_one_colour_and_published_points_are_hollow():
    axes = draw_figure1(efficiency_rows(ROWS)).axes[0]
    of_vilamp = [line for line in axes.lines if to_hex(line.get_color()) == to_hex(axes.lines[0].get_color())]
    lines = {line.get_linestyle(): line.get_markerfacecolor() for line in of_vilamp if line.get_marker() in "osD"}
    assert set(lines) == {"-", "--", ":"} and lines[":"] == "white"


@pytest.mark.parametrize(
    "published, verdict",
    [
        (22.66, "as released"),  # 21.2 and up to 15 % and 1.3 GiB
        (25.6, "as released"),
        (25.8, "neither: streamed 16.0, as released 21.2"),
        (21.1, "neither: streamed 16.0, as released 21.2"),  # a card cannot report less than is alive
        (19.6, "streamed"),
    ],
)
def test_published_memory_is_explained_where_a_card_might_report_it(published, verdict):
    assert reconcile(published, {"streamed": 16.0, "as released": 21.2}) == verdict


def test_the_table_names_what_cannot_be_reconciled():
    figure = draw_table5(efficiency_rows(ROWS))
    note = " ".join(figure._supxlabel.get_text().split())
    assert "ViLaMP at 64 (as released)" in note
    assert "ViLaMP at 8,192 (44.7; neither: streamed 17.0, as released 200.0)" in note
    cells = {place: cell.get_text().get_text() for place, cell in figure.axes[0].tables[0].get_celld().items()}
    assert [cells[1, column] for column in range(4)] == ["ViLaMP", "streamed, traced", "16.0", "1.0 (2.0)"]
    assert [cells[3, column] for column in range(4)] == ["ViLaMP", "published", "22.7", "61.0"]


@pytest.mark.parametrize("which", ["figure1", "table5"])
def test_the_command_writes_the_same_files_every_time(which, tmp_path):
    from niah.analysis.traced import write_traced

    write_traced(tmp_path / "a-traced.csv", ROWS)
    for name in ("one", "two"):
        assert main([which, str(tmp_path), "-o", str(tmp_path / name)]) == 0
    for suffix in ("png", "svg", "csv"):
        one, two = (tmp_path / name / f"{which}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    with open(tmp_path / "one" / f"{which}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"streamed", "as released", "published"}


def test_a_folder_without_traces_and_two_sizes_are_refused(tmp_path, capsys):
    from niah.analysis.traced import write_traced

    assert main(["figure1", str(tmp_path)]) == 2
    assert "holds no traced costs" in capsys.readouterr().err
    write_traced(tmp_path / "a-traced.csv", [*ROWS, costs(64, 0.1, size="tiny")])
    assert main(["figure1", str(tmp_path)]) == 2
    assert "one size" in capsys.readouterr().err


def test_a_study_without_folders_says_what_it_needs(capsys):
    assert main(["figure6"]) == 2
    assert "figure6 is drawn from FOLDERs" in capsys.readouterr().err
