from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib
import pytest

from niah.analysis.load import read_run
from niah.figures.cells import heatmap_panels, published_panels
from niah.figures.draw import draw_runs
from niah.figures.heatmap import default_heatmap, paper_heatmap
from niah.figures.memory import draw_memory, memory_points
from niah.figures.plotting import interval_arms
from niah.figures.published import published_efficiency
from niah.types import UserError
from tests.helpers.commands import figures as main
from tests.helpers.fake_runs import make_case, make_record, write_run

LENGTHS, DEPTHS = (2000, 4000), (0.1, 0.9)
SUITE = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.9]\nfootage: {world: fake}\n"
CASES = [make_case(f"n{i}", "full", length, depth) for i in range(2) for length in LENGTHS for depth in DEPTHS]


def run_where(folder: Path, became, **more) -> Path:
    """Write a run in which `became(case)` is a reply, a status other than ok, or None for no record."""
    records = []
    for case in more.pop("cases", CASES):
        word = became(case)
        if word in ("oom", "error", "timeout"):
            records.append(make_record(case, status=word))
        elif word is not None:
            records.append(make_record(case, word))
    return write_run(folder, CASES, records, suite=SUITE, **more)


def drawn(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def statuses(folder: Path) -> dict[tuple[str, str], str]:
    (panel,) = heatmap_panels([read_run(folder)], "default", "full")
    return {(cell.length, cell.depth): cell.status for cell in panel.cells}


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def hatched(figure) -> int:
    return sum(patch.get_hatch() is not None for patch in figure.axes[0].patches)


def figure_of(folder: Path):
    return default_heatmap(heatmap_panels([read_run(folder)], "default", "full"), "full")


def test_png_svg_and_csv_of_both_figures_are_written(tmp_path):
    paths = draw_runs([run_where(tmp_path / "run", lambda case: "B")], tmp_path / "out")
    assert [path.name for path in paths] == [
        "heatmap.png", "heatmap.svg", "heatmap.csv", "memory.png", "memory.svg", "memory.csv"
    ]  # fmt: skip
    assert all(path.stat().st_size > 100 for path in paths)


def test_the_same_run_gives_the_same_bytes(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: "B")
    first, second = (draw_runs([folder], tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_drawing_leaves_backend_and_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_runs([run_where(tmp_path / "run", lambda case: "B")], tmp_path)
    assert dict(matplotlib.rcParams) == before


def sized(folder: Path, *heights: int) -> Path:
    """Write a run in which frames of the two lengths are shown so high."""
    height = dict(zip(LENGTHS, heights, strict=True))
    records = [make_record(case, frame_size=(height[case.length], 32)) for case in CASES]
    return write_run(folder, CASES, records, suite=SUITE)


def test_frames_that_get_smaller_are_drawn_below_the_cells(tmp_path):
    figure = figure_of(sized(tmp_path / "run", 32, 8))
    tall, low = [patch.get_height() for patch in figure.axes[0].patches]
    assert tall == 2 * low  # sides of a square of as many pixels
    assert texts(figure)[4:6] == ["32x32", "8x32"]
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "pixels"


def test_frames_of_one_size_are_not_drawn(tmp_path):
    assert not figure_of(sized(tmp_path / "run", 32, 32)).axes[0].patches


def test_cells_say_accuracy_and_n_with_depth_0_at_the_top(tmp_path):
    wrong = ("n1", 4000)
    folder = run_where(tmp_path / "run", lambda case: "A" if (case.needle, case.length) == wrong else "B")
    figure = figure_of(folder)
    axes = figure.axes[0]
    assert texts(figure)[:4] == ["100%\nn 2", "50%\nn 2", "100%\nn 2", "50%\nn 2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2K", "4K"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.1", "0.9"]
    assert axes.yaxis_inverted()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("haystack length (frames)", "needle depth")
    assert axes.get_title() == "fake\nsuite fake, condition full"


def test_chance_is_marked_on_the_colour_bar(tmp_path):
    assert "chance\n25%" in texts(figure_of(run_where(tmp_path / "run", lambda case: "B")))


def test_a_cell_that_was_not_asked_is_hatched_and_missing(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: None if case.length == 4000 and case.depth < 0.5 else "B")
    draw_runs([folder], folder)
    lines = drawn(folder / "heatmap.csv")
    assert {(line["length"], line["depth"]): line["status"] for line in lines} == {
        ("2000", "0.1"): "ok", ("2000", "0.9"): "ok", ("4000", "0.1"): "missing", ("4000", "0.9"): "ok"
    }  # fmt: skip
    assert hatched(figure_of(folder)) == 1


@pytest.mark.parametrize("status, word", [("oom", "OOM"), ("error", "error"), ("timeout", "timeout")])
def test_a_cell_whose_cases_all_failed_says_why(tmp_path, status, word):
    figure = figure_of(run_where(tmp_path / "run", lambda case: status if case.length == 4000 else "B"))
    assert texts(figure).count(word) == 2
    assert hatched(figure) == 0


def test_a_cell_in_which_some_cases_failed_is_starred_and_not_counted_wrong(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: "oom" if case.length == 4000 and case.needle == "n1" else "B")
    figure = figure_of(folder)
    assert texts(figure)[:4] == ["100%\nn 2", "100%*\nn 1 of 2", "100%\nn 2", "100%*\nn 1 of 2"]
    assert statuses(folder)["4000", "0.1"] == "partial"


def test_a_run_that_only_ran_out_of_memory_is_drawn(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: "oom")
    assert len(draw_runs([folder], folder)) == 6
    assert set(statuses(folder).values()) == {"oom"}
    assert texts(draw_memory(memory_points([read_run(folder)], False))) == ["OOM   "]


def test_an_empty_run_is_hatched_and_has_no_memory_figure(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: None)
    assert [path.name for path in draw_runs([folder], folder)] == ["heatmap.png", "heatmap.svg", "heatmap.csv"]
    assert set(statuses(folder).values()) == {"missing"}
    assert hatched(figure_of(folder)) == 4


def test_a_run_without_full_cases_draws_nothing_and_the_command_says_so(tmp_path, capsys):
    case = make_case("n0", "blind")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    assert draw_runs([folder], folder) == []
    assert main([str(folder)]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_a_run_shorter_than_the_paper_s_axes_is_told_to_be_left_out_of_the_heatmap(tmp_path, capsys):
    cases = [make_case("n0", length=64, depth=0.5)]
    short = write_run(tmp_path / "short", cases, [make_record(cases[0], measured={"host_rss_bytes": 1})], model="brief")
    long = run_where(tmp_path / "long", lambda case: "B")
    assert main([str(short), str(long), "--style", "paper", "-o", str(tmp_path / "out")]) == 0
    assert "not in the heatmap: brief, which has no case of 'full' on these axes" in capsys.readouterr().err
    assert {row["model"] for row in drawn(tmp_path / "out" / "heatmap-paper.csv")} == {read_run(long).model}


def test_every_model_has_a_panel(tmp_path):
    folders = [run_where(tmp_path / name, lambda case: "B", model=name) for name in ("one", "two", "three", "four")]
    figure = default_heatmap(heatmap_panels([read_run(folder) for folder in folders], "default", "full"), "full")
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes if axes.get_title()]
    assert titles == ["one", "two", "three", "four"]


def test_a_long_name_of_a_model_leaves_the_cells_their_room(tmp_path):
    name = "a_package_of_ones_own.adapters.long_video:load_with_everything (pretrained=somewhere/in/a/folder,frames=32)"
    widths = []
    for model in ("short", name):
        figure = figure_of(run_where(tmp_path / model[:5], lambda case: "B", model=model))
        figure.draw_without_rendering()
        widths.append(figure.axes[0].get_position().width)
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_paper_style_has_16_lengths_and_5_depths_on_a_scale_from_0_2_to_0_7(tmp_path):
    (panel,) = heatmap_panels([read_run(run_where(tmp_path / "run", lambda case: "B"))], "paper", "full")
    assert len(panel.cells) == 80
    asked = {(cell.length, cell.depth): cell.n for cell in panel.cells if cell.status == "ok"}
    # lengths 2,000 and 4,000 open the first and the fifth bin; depths .1 and .9 lie in the first and last fifth
    assert asked == {(length, depth): 2 for length in ("2000-2499", "4000-4499") for depth in ("0-0.2", "0.8-1")}
    figure = paper_heatmap([panel], "full")
    assert figure.axes[0].collections[0].get_clim() == (0.2, 0.7)
    assert hatched(figure) == 76


def test_many_models_stand_in_rows_in_paper_style(tmp_path):
    (panel,) = heatmap_panels([read_run(run_where(tmp_path / "run", lambda case: "B"))], "paper", "full")
    figures = [paper_heatmap([panel] * count, "full") for count in (3, 9)]
    shown = [[axes for axes in figure.axes if axes.get_title() and axes.get_visible()] for figure in figures]
    assert list(map(len, shown)) == [3, 9]
    assert [some[0].get_gridspec().nrows for some in shown] == [1, 2]


def test_published_heatmaps_stand_beside_ones_own_in_paper_style(tmp_path, capsys):
    folder = run_where(tmp_path / "run", lambda case: "B")
    assert main([str(folder), "--style", "paper", "--with-published"]) == 0
    assert str(folder / "heatmap-paper.png") in capsys.readouterr().out
    models = list(dict.fromkeys(line["model"] for line in drawn(folder / "heatmap-paper.csv")))
    assert models == ["fake", "LLaMA-VID, published", "VideoChat-Flash, published", "ViLaMP, published"]


def test_a_picture_beside_published_heatmaps_says_that_they_are_of_another_suite(tmp_path):
    run = read_run(run_where(tmp_path / "run", lambda case: "B"))
    beside, alone = (
        paper_heatmap(heatmap_panels([run], "paper", "full") + more, "full") for more in (published_panels(), [])
    )
    assert "published: other needles, haystacks and questions" in beside.get_supxlabel()
    assert "published" not in alone.get_supxlabel()


def test_published_heatmap_has_the_digitised_cells():
    first = published_panels()[0]
    assert len(first.cells) == 80
    assert [cell.accuracy for cell in first.cells[:3]] == [0.353, 0.437, 0.437]  # LLaMA-VID, depth 0-20 %


def test_published_table_is_table_5():
    rows = {(row.model, row.frames): row for row in published_efficiency()}
    assert len(rows) == 20
    assert rows["ViLaMP, published", 8192].peak_bytes == 45819 * 2**20
    assert rows["LongVA, published", 256].peak_bytes is None
    assert rows["ViLaMP, published", 64].seconds_to_first_token == 0.08


def measured_run(folder: Path, *measured: dict) -> Path:
    """Write a run with one `full` case of 2,000 frames per measurement."""
    cases = [make_case(f"n{i}") for i in range(len(measured))]
    return write_run(folder, cases, [make_record(c, measured=m) for c, m in zip(cases, measured, strict=True)])


def one_point(folder: Path):
    (point,) = memory_points([read_run(folder)], False)
    return point


def test_a_case_with_reused_frames_counts_for_neither_memory_nor_time(tmp_path):
    slow = {"reused_frames": 0, "peak_reserved_bytes": 300, "seconds_to_first_token": 3.0}
    quick = {"reused_frames": 7, "peak_reserved_bytes": 900, "seconds_to_first_token": 0.1}
    point = one_point(measured_run(tmp_path / "run", slow, quick))
    assert (point.n, point.peak_bytes, point.seconds_to_first_token) == (1, 300, 3.0)


def test_peaks_are_the_largest_and_times_the_median_of_a_length(tmp_path):
    costs = [{"peak_reserved_bytes": peak, "seconds_to_first_token": t} for peak, t in ((1, 3.0), (5, 1.0), (2, 9.0))]
    point = one_point(measured_run(tmp_path / "run", *costs))
    assert (point.peak_bytes, point.seconds_to_first_token) == (5, 3.0)


def test_without_a_device_host_memory_is_drawn_and_the_axis_says_so(tmp_path):
    folder = measured_run(tmp_path / "run", {"peak_reserved_bytes": None, "peak_host_bytes": 2**30})
    assert one_point(folder).peak_bytes == 2**30
    figure = draw_memory(memory_points([read_run(folder)], False))
    assert figure.axes[0].get_ylabel() == "peak host memory (GiB)"


def test_host_memory_never_shares_an_axis_with_published_device_memory(tmp_path):
    def axes(name: str, measured: dict) -> list[tuple[str, bool, bool]]:
        """Label of every memory axis, and whether it has the run's own points and published ones."""
        run = read_run(measured_run(tmp_path / name, measured))
        figure = draw_memory(memory_points([run], True))
        return [
            (
                plot.get_ylabel(),
                *(
                    any(("published" in line.get_label()) is p for line in plot.lines if line.get_marker() == "o")
                    for p in (False, True)
                ),
            )
            for plot in figure.axes
            if "memory" in plot.get_ylabel()
        ]

    assert axes("host", {"peak_reserved_bytes": None, "peak_host_bytes": 2**30}) == [
        ("peak host memory (GiB)", True, False),
        ("peak device memory (GiB), published", False, True),
    ]
    assert axes("device", {"peak_reserved_bytes": 2**34}) == [("peak device memory (GiB)", True, True)]


@pytest.mark.parametrize("began", ["start of the worker", "case"])  # in the latter, too, earlier features are held
def test_a_host_peak_that_is_not_one_cases_alone_is_left_out(tmp_path, began):
    since = {"peak_reserved_bytes": None, "peak_host_since": began}
    mixed = [{**since, "cold": True, "peak_host_bytes": 100}, {**since, "cold": False, "peak_host_bytes": 999}]
    assert one_point(measured_run(tmp_path / "run", *mixed)).peak_bytes == 100


def test_running_out_of_memory_is_marked_at_the_top(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: "oom" if case.length == 4000 else "B")
    axes = draw_memory(memory_points([read_run(folder)], False)).axes[0]
    (marks,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(marks.get_xdata()) == [4000]
    assert 0.9 < marks.get_ydata()[0] < 1  # of the height of the plot


def test_published_memory_is_dashed_labelled_and_doubted(tmp_path):
    folder = run_where(tmp_path / "run", lambda case: "B")
    figure = draw_memory(memory_points([read_run(folder)], True))
    lines = {line.get_label(): line.get_linestyle() for line in figure.axes[0].lines if line.get_marker() == "o"}
    assert lines["fake"] == "-"
    assert lines["ViLaMP, published"] == "--"
    assert "cannot come from an 80 GB A100" in figure.get_supxlabel()


def test_one_model_on_two_suites_is_two_lines_of_memory(tmp_path):
    folders = [write_run(tmp_path / name, [make_case("n0")], [make_record(make_case("n0"))]) for name in ("one", "two")]
    about = json.loads((folders[1] / "run.json").read_text())
    (folders[1] / "run.json").write_text(json.dumps({**about, "suite": "other"}))
    draw_runs(folders, tmp_path / "drawn")
    lines = (tmp_path / "drawn/memory.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["fake on fake", "fake on other"]


def test_an_unknown_style_is_refused(tmp_path):
    with pytest.raises(UserError, match="'rainbow'"):
        draw_runs([run_where(tmp_path / "run", lambda case: "B")], tmp_path, "rainbow")


def test_records_of_an_older_version_are_refused_by_the_command(tmp_path, capsys):
    folder = run_where(tmp_path / "run", lambda case: "B")
    (folder / "records.jsonl").write_text('{"case": "n0.full.2000.199", "score": 1}\n')
    assert main([str(folder)]) == 2
    assert "another version" in capsys.readouterr().err


def test_dollar_signs_in_a_model_s_arguments_are_no_formula(tmp_path):
    run = run_where(tmp_path / "run", lambda case: "B", prompt="$x_{$")
    assert [path.suffix for path in draw_runs([run], tmp_path / "out")][:3] == [".png", ".svg", ".csv"]


def test_a_place_that_is_no_folder_is_refused_in_words(tmp_path, capsys):
    run = run_where(tmp_path / "run", lambda case: "B")
    (tmp_path / "file").touch()
    assert main([str(run), "-o", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}: File exists; a file is where a folder")


def test_the_arms_of_an_interval_reach_from_the_value_to_its_ends_and_are_never_negative():
    arms = interval_arms([0.5, 0.5, 1.0], [0.2, None, 1.1], [0.9, None, 1.0])
    assert arms.tolist() == [[0.3, 0.0, 0.0], [0.4, 0.0, 0.0]]
