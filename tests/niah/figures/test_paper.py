"""The paper's studies from runs that can be counted by hand, and the committed ones from their files."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from niah.figures.paper.attention import draw_concentration, read_panels, similarity_bars
from niah.figures.paper.points import study_points
from niah.figures.paper.selection import by_compressor, hits, over_constants, over_keyframes
from niah.figures.paper.studies import draw_by_compressor, draw_hits, draw_over_constants, draw_over_keyframes
from niah.figures.published import read_published
from niah.types import UserError
from tests.helpers.commands import paper as main
from tests.helpers.fake_runs import make_case, make_record, write_run

ROOT = Path(__file__).resolve().parents[3]
EARLIER, STUDIES = ROOT / "results/archive/version-1/figures", ROOT / "results/figures/micro"


def asked(folder, right, keyframes=8, temperature=0.01, threshold=0.85, kept=(), length=2000):
    """Write a run of four needles, of which the first `right` are answered and those of `kept` kept."""
    cases = [make_case(f"n{number}", length=length) for number in range(4)]
    told = {"compressor": "vilamp", "keyframes": keyframes, "temperature": temperature, "threshold": threshold}
    records = [
        make_record(
            case, "B" if number < right else "A", settings=told, language_tokens=100 + number,
            frames_kept=tuple(range(last - keyframes, last)),
        )
        for number, case in enumerate(cases)
        for last in [case.needles[0].start + (number in kept)]  # behind the last of the frames kept
    ]  # fmt: skip
    return write_run(folder, cases, records, "vilamp", keyframes=keyframes)


def lost(folder, cases, which, **settings):
    """Write a run of which the cases that `which` is true of ran out of memory and the others are answered right."""
    told = {"compressor": "vilamp", "keyframes": 8, "temperature": 0.01, "threshold": 0.85, **settings}
    records = [make_record(case, status="oom" if which(case) else "ok", settings=told) for case in cases]
    return write_run(folder, cases, records, "vilamp", **settings)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def rows(path):
    """Return the lines of a CSV."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_accuracy_over_k_is_of_each_run(tmp_path):
    folders = [asked(tmp_path / "a", 3, keyframes=8), asked(tmp_path / "b", 1, keyframes=2)]
    found = [p for p in over_keyframes(study_points(folders)) if (p.type, p.length) == ("all", "2000")]
    assert [(p.keyframes, p.accuracy, p.n, p.tokens) for p in found] == [(2, 0.25, 4, 101.5), (8, 0.75, 4, 101.5)]


def test_runs_that_differ_in_more_than_k_are_left_out_of_accuracy_over_k(tmp_path):
    alike = [asked(tmp_path / str(k), 2, keyframes=k) for k in (1, 2)]
    found = over_keyframes(study_points([*alike, asked(tmp_path / "hot", 4, keyframes=3, temperature=1.0)]))
    assert {p.keyframes for p in found} == {1, 2}


def test_two_runs_of_one_setting_are_drawn_where_they_agree_and_refused_where_not(tmp_path):
    ones = [asked(tmp_path / str(k), 2, keyframes=k) for k in (1, 2)]
    again = asked(tmp_path / "again", 2, keyframes=2)
    assert len(over_keyframes(study_points([*ones, again]))) == len(over_keyframes(study_points(ones)))
    with pytest.raises(UserError, match="same constants but different numbers"):
        over_keyframes(study_points([*ones, asked(tmp_path / "other", 3, keyframes=2)]))


def test_a_study_is_of_one_kind_of_question(tmp_path):
    cases = [make_case(f"n{number}") for number in range(4)]
    cases += [dataclasses.replace(case, id=f"{case.id}.when", kind="when") for case in cases]
    records = [make_record(case, "B" if case.kind == "single" else "A") for case in cases]
    folder = write_run(tmp_path / "kinds", cases, records)
    for kind, accuracy in (("single", 1.0), ("when", 0.0)):
        assert {(p.model, p.n, p.accuracy) for p in study_points([folder], kind=kind)} == {
            (f"fake ({kind})", 4, accuracy)
        }


def test_one_k_alone_is_no_figure(tmp_path):
    with pytest.raises(UserError, match=r"at least two values of K and else equal, got K in \[8\]"):
        over_keyframes(study_points([asked(tmp_path / "a", 3)]))


EACH = [make_case(f"n{number}", length=length) for length in (2000, 4000) for number in range(2)]


def test_a_length_at_which_every_k_ran_out_of_memory_keeps_its_panel_and_its_rows(tmp_path):
    folders = [lost(tmp_path / str(k), EACH, lambda case: case.length == 4000, keyframes=k) for k in (1, 8)]
    found = over_keyframes(study_points(folders))
    late = [(p.keyframes, p.n, p.failed, p.accuracy) for p in found if (p.type, p.length) == ("all", "4000")]
    assert late == [(1, 0, 2, None), (8, 0, 2, None)]
    figure = draw_over_keyframes(found)
    assert [axes.get_title() for axes in figure.axes] == ["2K frames", "4K frames"]
    marks = [[line for line in axes.lines if line.get_marker() == "x"] for axes in figure.axes]
    assert [len(lines) for lines in marks] == [0, 2]  # a cross at each K, for all types and for motion
    assert min(marks[1][0].get_ydata()) > 1  # above every accuracy
    assert "x at the top: no case has an answer" in figure.get_supxlabel()


def test_a_point_of_which_some_cases_failed_is_starred_and_the_legend_has_both_counts(tmp_path):
    failed = {1: ["n1.full.4000.1995"], 8: []}
    folders = [lost(tmp_path / str(k), EACH, lambda case, k=k: case.id in failed[k], keyframes=k) for k in failed]
    figure = draw_over_keyframes(over_keyframes(study_points(folders)))
    assert [texts(axes) for axes in figure.axes] == [[], ["*", "*"]]
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert legends == [["chance", "all, n 2", "motion, n 2"], ["chance", "all, n 1-2", "motion, n 1-2"]]
    assert "* some cases have no answer" in figure.get_supxlabel()


def test_a_type_that_has_no_case_of_a_length_has_no_line_there(tmp_path):
    cases = [*EACH, make_case("n9", length=4000, type="digit")]
    folders = [lost(tmp_path / str(k), cases, lambda case: False, keyframes=k) for k in (1, 8)]
    figure = draw_over_keyframes(over_keyframes(study_points(folders)))
    assert [len(axes.get_legend().get_texts()) for axes in figure.axes] == [3, 4]


def test_runs_that_are_not_drawn_are_named(tmp_path, capsys):
    folders = [asked(tmp_path / str(k), 2, keyframes=k) for k in (1, 2)]
    folders += [asked(tmp_path / "again", 2, keyframes=2), asked(tmp_path / "hot", 4, keyframes=3, temperature=1.0)]
    assert main(["figure6", *map(str, folders), "-o", str(tmp_path)]) == 0
    drawn, left_out = capsys.readouterr().err.splitlines()
    assert drawn == f"figure6 is drawn from {', '.join(map(str, folders))}"
    # nothing of the third run: the second, of one setting with it, stands for both
    assert left_out.startswith("not in figure6: vilamp (keyframes=3), which differs")


def test_a_run_that_reports_no_frames_is_named_as_not_in_table_3(tmp_path, capsys):
    cases = [make_case("n0")]
    folders = [asked(tmp_path / "a", 2), write_run(tmp_path / "b", cases, [make_record(cases[0])], "chance")]
    assert main(["table3", *map(str, folders), "-o", str(tmp_path)]) == 0
    assert "not in table3: chance, whose answers do not report which frames" in capsys.readouterr().err


def test_a_run_without_full_cases_is_refused(tmp_path, capsys):
    case = make_case("n0", "blind")
    assert main(["table2", str(write_run(tmp_path / "a", [case], [make_record(case)]))]) == 2
    assert "was asked no full case" in capsys.readouterr().err


def test_settings_that_lost_cases_are_starred_in_table_6_and_those_that_lost_all_say_so(tmp_path):
    cases = [*EACH, *(make_case(f"d{number}", type="digit") for number in range(2))]
    which = {1.0: lambda case: case.type == "digit", 0.1: lambda case: case.id == EACH[0].id, 0.01: lambda case: False}
    folders = [lost(tmp_path / str(alpha), cases, one, temperature=alpha) for alpha, one in which.items()]
    figure = draw_over_constants(over_constants(study_points(folders)))
    assert [texts(axes) for axes in figure.axes[:3]] == [
        ["100.0%*", "100.0%*", "100.0%"],  # all types, alpha down
        ["100.0%", "100.0%", "no answer"],  # digit
        ["100.0%", "100.0%*", "100.0%"],  # motion
    ]
    assert "* some cases have no answer" in figure.get_supxlabel()


def test_a_compressor_of_its_own_is_no_cell_of_table_6(tmp_path):
    alike = [lost(tmp_path / str(alpha), EACH, lambda case: False, temperature=alpha) for alpha in (1.0, 0.1)]
    other = lost(tmp_path / "other", EACH, lambda case: False, temperature=0.01, compressor="mine")
    assert {p.compressor for p in over_constants(study_points([*alike, other]))} == {"vilamp"}


def test_runs_that_lost_cases_are_starred_in_table_2_and_those_that_lost_all_say_so(tmp_path):
    which = {"all": lambda case: True, "some": lambda case: case.id == EACH[0].id, "none": lambda case: False}
    folders = [lost(tmp_path / name, EACH, one, compressor=name) for name, one in which.items()]
    figure = draw_by_compressor(by_compressor(study_points(folders)))
    assert texts(figure.axes[0]) == ["*", "*"]  # for all types, and for motion
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["vilamp (compressor=all)\nno answer: all, motion", "vilamp (compressor=some)",
                     "vilamp (compressor=none)"]  # fmt: skip
    assert "* some cases have no answer" in figure.get_supxlabel()


def test_accuracy_over_alpha_and_tau_is_of_each_run(tmp_path):
    folders = [asked(tmp_path / f"{a}", right, temperature=a) for a, right in ((1.0, 1), (0.01, 4))]
    found = [p for p in over_constants(study_points(folders)) if p.type == "all"]
    assert [(p.temperature, p.threshold, p.accuracy) for p in found] == [(1.0, 0.85, 0.25), (0.01, 0.85, 1.0)]


def test_runs_of_other_cases_are_refused(tmp_path):
    with pytest.raises(UserError, match="was asked 4 full cases .* 0 of them the same"):
        study_points([asked(tmp_path / "a", 3), asked(tmp_path / "b", 3, length=4000)])


def test_runs_of_cases_that_differ_under_one_name_are_refused(tmp_path):
    folders = [asked(tmp_path / "a", 3), tmp_path / "b"]
    cases = [make_case(f"n{number}", answer="C") for number in range(4)]
    write_run(folders[1], cases, [make_record(case) for case in cases], "other")
    with pytest.raises(UserError, match="0 of them the same"):
        study_points(folders)


def test_tokens_of_lengths_drawn_freely_are_those_of_the_cases_a_point_counts(tmp_path):
    lengths = (2037, 2100, 2148, 3900)  # the first three are nearest to 2,000 of the paper's five, the last to 4,000
    cases = [make_case(f"n{number}", length=length) for number, length in enumerate(lengths)]
    records = [make_record(case, language_tokens=100 * number) for number, case in enumerate(cases, start=1)]
    folder = write_run(tmp_path / "a", cases, records, suite="name: fake\ndesign: paper\nfootage: {world: fake}\n")
    found = {p.length: (p.n, p.tokens) for p in study_points([folder]) if p.type == "all" and p.n}
    assert found == {"all": (4, 250), "2000": (3, 200), "4000": (1, 400)}


def test_a_point_whose_needles_are_asked_once_has_wilsons_interval_whatever_other_lengths_ask(tmp_path):
    cases = [make_case(f"n{number}", length=length) for length in (2000, 4000) for number in range(8)]
    records = [make_record(case, "B" if number % 2 else "A") for number, case in enumerate(cases)]
    found = {p.length: p for p in study_points([write_run(tmp_path / "a", cases, records)]) if p.type == "all"}
    # Wilson, 4 of 8: 1/2 -+ (1.96 / 2) / sqrt(8 + 1.96^2)
    assert [found["2000"].low, found["2000"].high] == pytest.approx([0.2152, 0.7848], abs=1e-4)
    # each needle twice, answered alike: 16 answers are worth no more than those of 8 needles
    assert found["all"].high - found["all"].low >= found["2000"].high - found["2000"].low


def test_two_runs_of_one_model_are_two_lines_of_a_table(tmp_path):
    found = by_compressor(study_points([asked(tmp_path / "a", 3), asked(tmp_path / "b", 1)]))
    assert {p.model for p in found} == {"vilamp (keyframes=8)", "vilamp (keyframes=8) [b]"}


def test_hit_at_k_counts_cases_whose_kept_frames_show_the_needle(tmp_path):
    folders = [asked(tmp_path / "1", 4, keyframes=1, kept=[2]), asked(tmp_path / "5", 4, keyframes=5, kept=[0, 1, 2])]
    found = [p for p in hits(study_points(folders)) if p.length == "2000"]
    assert [(p.keyframes, p.hits, p.kept, p.hit_share) for p in found] == [(1, 1, 4, 0.25), (5, 3, 4, 0.75)]
    assert found[0].hit_chance == pytest.approx(10 / 2000)  # one random frame, ten of 2,000 show it


def of_suite(folder, name):
    """Call a run's suite by a name."""
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, "suite": name}))
    return folder


def test_hits_on_two_suites_are_two_lines(tmp_path):
    kept = {"default": [2], "real": [0, 1, 2]}
    folders = [of_suite(asked(tmp_path / name, 4, kept=own), name) for name, own in kept.items()]
    found = hits(study_points(folders, same_cases=False))
    assert [(p.suite, p.hit_share) for p in found if p.length == "2000"] == [("default", 0.25), ("real", 0.75)]
    first, _, second, *_ = draw_hits(found).axes[0].lines  # after each line chance, dotted
    assert [(list(line.get_ydata()), line.get_label()) for line in (first, second)] == [
        ([0.25], "vilamp, 2K frames, suite default, tau 0.85"), ([0.75], "vilamp, 2K frames, suite real, tau 0.85")
    ]  # fmt: skip


def test_hits_of_two_alphas_are_two_lines(tmp_path):
    folders = [asked(tmp_path / str(alpha), 4, temperature=alpha, kept=[0]) for alpha in (1.0, 0.1)]
    labels = [line.get_label() for line in draw_hits(hits(study_points(folders, same_cases=False))).axes[0].lines]
    assert labels[0:4:2] == ["vilamp, 2K frames, alpha 1, tau 0.85", "vilamp, 2K frames, alpha 0.1, tau 0.85"]


def test_two_runs_that_would_be_one_point_of_hits_are_refused_where_they_differ(tmp_path):
    once = [asked(tmp_path / "a", 4, kept=[0])]
    same, other = asked(tmp_path / "same", 4, kept=[0]), asked(tmp_path / "other", 4, kept=[0, 1])
    assert len(hits(study_points([*once, same], same_cases=False))) == len(hits(study_points(once)))
    with pytest.raises(
        UserError, match=r"vilamp \(keyframes=8\) \[other\] have the same constants but different numbers"
    ):
        hits(study_points([*once, other], same_cases=False))


def test_shards_are_one_point_of_hits(tmp_path):
    cases = [make_case(f"n{number}") for number in range(2)]
    folders = [write_run(tmp_path / case.id, [case], [make_record(case, frames_kept=(0,))]) for case in cases]
    assert {(p.model, p.kept) for p in hits(study_points(folders, same_cases=False))} == {("fake", 2)}


def test_a_share_of_hits_of_which_some_cases_failed_is_starred(tmp_path):
    case, other = make_case("n0"), make_case("n1")
    records = [make_record(case, frames_kept=(0,)), make_record(other, status="oom")]
    axes = draw_hits(hits(study_points([write_run(tmp_path / "a", [case, other], records)]))).axes[0]
    assert texts(axes) == ["*"] and "* some cases have no answer" in axes.get_xlabel()


def test_without_settings_k_is_how_many_frames_were_kept(tmp_path):
    case = make_case("n0")
    folder = write_run(tmp_path / "a", [case], [make_record(case, frames_kept=(1, 2, 3))])
    assert {p.keyframes for p in hits(study_points([folder]))} == {3}


def test_records_of_two_settings_in_one_run_are_refused(tmp_path):
    cases = [make_case("n0"), make_case("n1")]
    records = [make_record(case, settings={"keyframes": k}) for k, case in enumerate(cases, start=1)]
    with pytest.raises(UserError, match="report 2 different settings"):
        study_points([write_run(tmp_path / "a", cases, records)])


def test_a_figure_is_written_as_picture_and_numbers_and_the_same_twice(tmp_path, capsys):
    folders = [str(asked(tmp_path / str(k), 2, keyframes=k, kept=[0])) for k in (1, 5)]
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        assert main(["table3", *folders, "-o", str(output)]) == 0
    names = ["table3.csv", "table3.png", "table3.svg"]
    assert sorted(path.name for path in outputs[0].iterdir()) == names
    assert all((outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes() for name in names)
    assert capsys.readouterr().out.splitlines()[0] == str(outputs[0] / "table3.png")


@pytest.mark.parametrize("which", ["figure6", "table2", "table6"])
def test_every_study_draws_a_sweep(which, tmp_path):
    folders = [asked(tmp_path / f"{k}", 2, keyframes=k) for k in (1, 8)]
    folders += [asked(tmp_path / f"a{a}", 1, temperature=a, threshold=t) for a, t in ((1.0, 0.5), (0.1, 0.85))]
    assert main([which, *map(str, folders), "-o", str(tmp_path)]) == 0
    assert (tmp_path / f"{which}.svg").stat().st_size > 1000


def measured(folder, shares):
    """Write a measurement of two cases of two frames."""
    folder.mkdir()
    (folder / "about.json").write_text(json.dumps({"label": "fake", "suite": "fake"}))
    lines = ["case,needle,rank,frame,share,similarity,random"]
    for case, (first, second) in shares.items():
        lines += [f"{case},1,0,7,{first},0.9,0.5", f"{case},0,1,3,{second},0.7,0.3"]
    (folder / "frames.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_attention_is_cumulated_for_each_case_and_averaged_over_cases(tmp_path):
    (panel,) = read_panels([measured(tmp_path / "a", {"x": (0.9, 0.1), "y": (0.7, 0.3)})], "frames.csv")
    assert [step.percentile for step in panel.steps] == [0.5, 1.0]
    assert [step.cumulative for step in panel.steps] == pytest.approx([0.8, 1.0])
    assert [step.similarity for step in panel.steps] == pytest.approx([0.9, 0.7])
    assert panel.needle == pytest.approx((0.5, 0.8))
    assert panel.reached[1] == (0.8, 0.5)  # 80 % of attention on half of the frames


def test_a_bar_stands_over_the_steps_it_is_the_mean_of():
    found = similarity_bars(range(30))  # 20 bars: ten of two steps, then ten of one
    assert found[:2] == [(0, pytest.approx(2 / 30), 0.5), (pytest.approx(2 / 30), pytest.approx(4 / 30), 2.5)]
    assert found[-1] == (pytest.approx(29 / 30), 1, 29)
    assert len(found) == 20


def test_steps_fewer_than_bars_have_one_each_across_the_whole_axis(tmp_path):
    assert similarity_bars([3.0, 5.0]) == [(0, 0.5, 3), (0.5, 1, 5)]
    figure = draw_concentration(read_panels([measured(tmp_path / "a", {"x": (0.9, 0.1)})], "frames.csv"), "frames")
    middles = [patch.get_x() + patch.get_width() / 2 for patch in figure.axes[0].patches]
    assert middles == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("about.json", "{}", "about.json has no label and no suite"),
        ("about.json", "{", "about.json cannot be read"),
        ("frames.csv", "case,share,similarity,random\n", "frames.csv holds no row"),
        ("frames.csv", "", "frames.csv cannot be read"),
        ("frames.csv", "case,share\na,1\n", "frames.csv has no column similarity, random"),
    ],
)
def test_what_is_no_measurement_is_refused_in_words(tmp_path, capsys, name, text, said):
    folder = measured(tmp_path / "a", {"x": (0.9, 0.1)})
    (folder / name).write_text(text)
    assert main(["figure3", str(folder)]) == 2
    assert said in capsys.readouterr().err


def test_a_measurement_of_merged_frames_has_no_figure_4(tmp_path, capsys):
    folder = measured(tmp_path / "a", {"x": (0.9, 0.1)})
    assert main(["figure4", str(folder)]) == 2
    assert "patches are compared where every frame is there whole" in capsys.readouterr().err


def test_published_tables_are_the_paper_s():
    assert [float(row["hit"]) for row in read_published("table3_hits.csv")] == [26.1, 47.3, 60.0, 83.2]
    best = max(read_published("table6_constants.csv"), key=lambda row: float(row["mlvu"]))
    assert (best["temperature"], best["threshold"], best["mlvu"]) == ("0.01", "0.85", "72.6")
    assert len(read_published("table6_constants.csv")) == 16 and len(read_published("table2_ablations.csv")) == 7


COMMITTED = {
    "figure3": ["attention/whole", "attention/answering"],
    "figure4": ["attention/whole"],
    "figure6": ["keyframes/*"],
    "table3": ["keyframes/*"],
    "table2": ["compressors/*"],
    "table6": ["constants/*"],
}


@pytest.mark.parametrize(
    "studies, which",
    [
        (studies, which)
        for studies in (EARLIER, STUDIES)
        for which in COMMITTED
        if (studies, which) != (STUDIES, "table2")
    ],
)
def test_committed_numbers_are_redrawn_byte_for_byte(studies, which, tmp_path):
    folders = [str(path) for pattern in COMMITTED[which] for path in sorted(studies.glob(pattern))]
    assert main([which, *folders, "-o", str(tmp_path)]) == 0
    assert (tmp_path / f"{which}.csv").read_bytes() == (studies / f"{which}.csv").read_bytes()
