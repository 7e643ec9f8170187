"""Tables by the rule a suite names, and what is said where answers lack what it needs."""

from __future__ import annotations

import json

import pytest

from niah.analysis.checks.runs import check_runs
from niah.analysis.compare.comparisons import pair_runs
from niah.analysis.compare.verdict import comparison_page
from niah.analysis.load import join_shards, read_run
from niah.analysis.table import table_rows
from niah.types import OptionLikelihood
from tests.helpers.commands import table
from tests.helpers.fake_runs import make_case, make_record, write_run

SUITE = "name: fake\nlengths: [2000]\ndepths: [0.5]\nfootage: {world: fake}\n"
CASES = [make_case(f"n{number}") for number in range(20)]  # B is right
# B by sum; A per token, and by the model's own choice; D less the blind likelihood
LIKELIHOODS = (
    OptionLikelihood(-4.0, 8, 8, -4.0),
    OptionLikelihood(-2.0, 2, 2, -2.0),
    OptionLikelihood(-9.0, 9, 9, -9.0),
    OptionLikelihood(-7.0, 3, 3, -9.0),
)


def scored(case, likelihoods=LIKELIHOODS):
    return make_record(case, "Left", mode="likelihood", option_likelihoods=likelihoods)


def write(tmp_path, name, records, rule=None):
    suite = SUITE + (f"score_by: {rule}\n" if rule else "")
    return write_run(tmp_path / name, CASES, records, model=name, suite=suite)


def whole(folder):
    return next(row for row in table_rows([read_run(folder)]) if row.length == row.depth == row.type == "all")


@pytest.mark.parametrize("rule, correct", [(None, 0), ("sum", 20), ("per_token", 0), ("minus_blind", 0)])
def test_the_table_scores_by_the_rule_that_the_suite_names(tmp_path, rule, correct):
    row = whole(write(tmp_path, "m", [scored(case) for case in CASES], rule))
    assert (row.correct, row.scored_by) == (correct, rule or "likelihood")


def test_an_unknown_rule_is_refused_with_the_known_ones(tmp_path, capsys):
    assert table([str(write(tmp_path, "m", [scored(case) for case in CASES], "summ"))]) == 2
    assert "no score_by is called 'summ'. Did you mean 'sum'?" in capsys.readouterr().err


def test_another_rule_is_printed_for_looking_and_not_written(tmp_path, capsys):
    folder = write(tmp_path, "m", [scored(case) for case in CASES], "per_token")
    assert table([str(folder), "--score_by", "sum"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "full all 100.0%" in said
    assert "scored by sum for looking (rule that the suite names: per_token); nothing was written" in said
    assert not (folder / "table.csv").exists()


def test_a_rule_that_the_answers_lack_the_numbers_for_is_refused(tmp_path, capsys):
    folder = write(tmp_path, "m", [make_record(case, "B") for case in CASES])
    assert table([str(folder), "--score_by", "sum"]) == 2
    said = capsys.readouterr().err
    assert "20 of 20 answers lack what it needs" in said and "possible here: letter" in said


def test_a_check_says_which_answers_were_not_scored_by_the_suites_rule(tmp_path):
    records = [scored(case) for case in CASES[:17]] + [make_record(case, "B") for case in CASES[17:]]
    run = read_run(write(tmp_path, "m", records, "sum"))
    (check,) = [check for check in check_runs([run]) if check.kind == "score_by"]
    assert check.level == "warning" and len(check.cases) == 3
    assert "suite fake scores by sum, for which 3 answers lack what it needs" in check.text
    assert whole(run.folder).scored_by == "generated, sum"
    assert not [check for check in check_runs([read_run(write(tmp_path, "n", records))]) if check.kind == "score_by"]


def test_answers_scored_by_different_rules_get_no_verdict(tmp_path):
    one = write(tmp_path, "one", [scored(case) for case in CASES], "sum")
    other = write(tmp_path, "other", [scored(case) for case in CASES])
    text = comparison_page(pair_runs([read_run(one), read_run(other)]))
    assert "full: one 100.0%, other 0.0%" in text
    assert "No verdict: the answers of one are scored by sum, those of other likelihood" in text
    same = write(tmp_path, "same", [scored(case) for case in CASES], "sum")
    assert "No significant difference" in comparison_page(pair_runs([read_run(one), read_run(same)]))


@pytest.mark.parametrize(
    "reasons, cut", [(("stop", "length", "length", None), 2), ((None,) * 4, 0), (("stop",) * 4, 0)]
)
def test_a_row_counts_replies_that_ended_at_the_token_limit(tmp_path, reasons, cut):
    records = [make_record(case, finish_reason=reason) for case, reason in zip(CASES, reasons, strict=False)]
    assert whole(write(tmp_path, "m", records)).cut_short == cut


def test_the_check_of_unanswered_replies_says_how_many_were_cut_short(tmp_path):
    records = [make_record(case, "The clip shows", finish_reason="length") for case in CASES[:6]]
    records += [make_record(case, "no idea", finish_reason="stop") for case in CASES[6:]]
    run = read_run(write(tmp_path, "m", records))
    (check,) = [check for check in check_runs([run]) if check.kind == "unanswered"]
    assert check.text.endswith("counted as wrong; 6 of them ended at the token limit: raise it")


LENGTHS = (2000, 4000, 6000)
GRID = "name: fake\nlengths: [2000, 4000, 6000]\ndepths: [0.5]\nfootage: {world: fake}\n"


def shown(tmp_path, sizes, name="m", **changes):
    """A run of three needles a length, each length shown in the sizes given."""
    cases = [make_case(f"n{number}", length=length) for length in LENGTHS for number in range(3)]
    records = [
        make_record(case, frame_size=sizes[LENGTHS.index(case.length)][int(case.needle[1:])], **changes)
        for case in cases
    ]
    return read_run(write_run(tmp_path / name, cases, records, model=name, suite=GRID))


@pytest.mark.parametrize(
    "sampling, read, warned",
    [
        ({"width": 64, "height": 64, "fit": "stretch"}, (384, 384), True),
        ({"width": 384, "height": 384, "fit": "stretch"}, (384, 384), False),
        ({"width": 640, "height": 360, "fit": "pad"}, (384, 384), True),
        ({"width": 640, "height": 480, "fit": "pad"}, (384, 384), False),
        ({"width": 384, "height": 384, "fit": "native"}, (448, 448), False),  # each source has its own size
        ({"width": 64, "height": 64, "fit": "stretch"}, None, False),
    ],
)
def test_frames_smaller_than_what_a_model_reads_are_warned_of(tmp_path, sampling, read, warned):
    cases = [make_case(f"n{number}") for number in range(3)]
    records = [make_record(case, frame_size=read) for case in cases]
    run = read_run(write_run(tmp_path / "m", cases, records, decides={"sampling": {"rate": "1", **sampling}}))
    found = [check for check in check_runs([run]) if check.kind == "enlarged_frames"]
    assert [check.level for check in found] == ["warning"] * warned
    if warned:
        assert f"gives it {sampling['height']}x{sampling['width']}, enlarged" in found[0].text


def flat(height, width):
    return [(height, width)] * 3


SHRINKING = [
    ([flat(384, 384), flat(384, 384), flat(196, 196)], ["6K"]),
    ([flat(384, 384), flat(196, 196), flat(140, 140)], ["4K", "6K"]),
    ([[(384, 384), (384, 384), (28, 28)], flat(384, 384), flat(378, 378)], []),  # one odd frame; 3 % by rounding
    ([flat(100, 100), flat(384, 384), flat(384, 384)], []),  # they grow
    ([[None] * 3, flat(384, 384), flat(196, 196)], ["6K"]),
    ([[None] * 3] * 3, []),
]


@pytest.mark.parametrize("sizes, smaller", SHRINKING)
def test_frames_shown_smaller_in_longer_videos_are_warned_of(tmp_path, sizes, smaller):
    run = shown(tmp_path, sizes)
    checks = [check for check in check_runs([run]) if check.kind == "shrinking_frames"]
    assert [check.level for check in checks] == ["warning"] * bool(smaller)
    if checks:
        lengths = {case.id: case.length for case in run.cases}
        assert sorted({f"{lengths[name] // 1000}K" for name in checks[0].cases}) == smaller
        assert "6K: " in checks[0].text


def test_cases_without_an_answer_say_nothing_about_the_size_of_frames(tmp_path):
    run = shown(tmp_path, [flat(384, 384), flat(384, 384), flat(196, 196)], status="oom")
    assert "shrinking_frames" not in {check.kind for check in check_runs([run])}


def test_a_row_has_the_median_size_of_its_frames(tmp_path):
    run = shown(tmp_path, [[(10, 20), (30, 40), (50, 60)], flat(5, 6), [None] * 3])
    rows = {row.length: row for row in table_rows([run]) if (row.type, row.depth) == ("all", "all")}
    assert [(rows[key].frame_height, rows[key].frame_width) for key in ("2000", "4000", "6000")] == [
        (30, 40),
        (5, 6),
        (None, None),
    ]


def test_models_shown_frames_of_other_sizes_side_by_side_get_a_note(tmp_path):
    one = shown(tmp_path, [flat(384, 384), flat(384, 384), flat(32, 32)], "one", frame_times=True)
    other = shown(tmp_path, [flat(64, 64)] * 3, "other", frame_times=False)
    found = {check.kind: check for check in check_runs(join_shards([one, other]))}
    assert found["frame_size"].level == found["frame_times"].level == "note"
    assert "(one: 32x32 to 384x384; other: 64x64)" in found["frame_size"].text
    assert "(one: given; other: not given)" in found["frame_times"].text


def with_metadata(folder, **values):
    metadata = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**metadata, **values}))
    return read_run(folder)


def test_answers_of_a_model_that_has_changed_since_are_warned_of(tmp_path, capsys):
    folder = write(tmp_path, "m", [make_record(case) for case in CASES])
    source = "file m.py"
    before, now = ({source: f"10 bytes, sha256 {letter * 64}", "torch": "2.8"} for letter in "ab")
    run = with_metadata(folder, identity=now, earlier_identities=[{"records": 7, "identity": before}])
    (check,) = [check for check in check_runs([run]) if check.kind == "earlier_model"]
    assert check.level == "warning"
    assert "answers (at least 7) are of a model that has changed since: file m.py (changed)" in check.text
    assert table([str(folder)]) == 0
    assert "WARNING: m: answers (at least 7)" in capsys.readouterr().out


def test_answers_of_an_unknown_model_get_a_note(tmp_path):
    folder = write(tmp_path, "m", [make_record(case) for case in CASES])
    run = with_metadata(folder, identity={"torch": "2.8"}, earlier_identities=[{"records": 3, "identity": None}])
    (check,) = [check for check in check_runs([run]) if check.kind == "earlier_model"]
    assert check.level == "note" and "whose identity was not recorded" in check.text


@pytest.mark.parametrize("entry", ["three", {"records": "3", "identity": None}, {"records": 3, "identity": "old"}])
def test_a_damaged_entry_of_earlier_models_is_refused(tmp_path, capsys, entry):
    folder = write(tmp_path, "m", [make_record(case) for case in CASES])
    metadata = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**metadata, "earlier_identities": [entry]}))
    assert table([str(folder)]) == 2
    assert "earlier_identities has the entry" in capsys.readouterr().err


CHOSEN = [
    ("name: fake\nused_to_choose: the weights of m\n", "was used to choose the weights of m, so"),
    ("name: development\n", "was used to choose models and weights"),
    ("name: development-long\n", "was used to choose models and weights"),
    ("name: fake\n", None),
]


@pytest.mark.parametrize("head, said", CHOSEN)
def test_a_suite_that_a_model_was_chosen_by_is_warned_of(tmp_path, head, said):
    suite = SUITE.replace("name: fake\n", head)
    folder = write_run(tmp_path / "m", CASES, [make_record(case) for case in CASES], suite=suite)
    run = with_metadata(folder, suite=head.split()[1])
    found = [check for check in check_runs([run]) if check.kind == "development"]
    assert [said in check.text and check.level == "warning" for check in found] == [True] * (said is not None)


def test_footage_of_the_development_world_is_recognised_under_another_name(tmp_path):
    suite = SUITE.replace("world: fake", "world: development")
    run = read_run(write_run(tmp_path / "m", CASES, [make_record(case) for case in CASES], suite=suite))
    assert "development" in {check.kind for check in check_runs([run])}
