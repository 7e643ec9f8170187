"""Needles kept for what another model makes of them: which stay, who chose, and who may not be asked."""

from __future__ import annotations

import json

import pytest

from niah.analysis.filter_needles import filter_needles
from niah.analysis.load import read_run
from niah.run.config import RunConfig
from niah.run.plan import make_plan
from niah.settings import read_yaml
from niah.suite.build import assemble
from niah.suite.config import NeedleFilter
from niah.suite.folder import read_suite, write_suite
from niah.types import UserError
from tests.helpers.fake_runs import make_record, write_run
from tests.helpers.generate_fakes import suite, world, write_text

# By needle: right with needle_only, right when blind
JUDGED = {"good": (True, False), "guessed": (True, True), "unread": (False, False), "fine": (True, False)}


def generated(names=tuple(JUDGED), **changes):
    return assemble(suite(lengths=(100,), depths=(0.5,), **changes), *world(dict.fromkeys(names, 10), frames=100))


def asked(tmp_path, cases, lost=(), model="judge", **args):
    """A run of the two controls, as JUDGED; the needles of `lost` have no answer with needle_only."""
    controls = [case for case in cases if case.condition in ("needle_only", "blind")]
    records = []
    for case in controls:
        right = JUDGED[case.needle][case.condition == "blind"]
        failed = case.needle in lost and case.condition == "needle_only"
        records.append(make_record(case, "A" if right else "B", status="timeout" if failed else "ok"))
    return write_run(tmp_path / "judged", controls, records, model=model, **args)


def test_needles_that_are_read_and_not_guessed_are_kept(tmp_path):
    whole = generated()
    kept = filter_needles(whole, asked(tmp_path, whole.cases, k=3))
    assert kept.suite.kept == NeedleFilter("judge (k=3)", ("good", "fine"))
    assert {case.needle for case in kept.cases} == {"good", "fine"}
    assert {skip.what: skip.why for skip in kept.skipped} == {
        "guessed": "judge (k=3) answers it blind",
        "unread": "judge (k=3) misses it with needle_only",
    }


def test_a_needle_without_an_answer_is_not_kept_and_the_reason_told(tmp_path):
    whole = generated()
    kept = filter_needles(whole, asked(tmp_path, whole.cases, lost=("fine",)))
    assert [skip.why for skip in kept.skipped if skip.what == "fine"] == [
        "judge has no answer to it with needle_only (timeout)"
    ]


def test_cases_that_stay_are_the_same_cases(tmp_path):
    whole = generated()
    kept = filter_needles(whole, asked(tmp_path, whole.cases))
    assert kept.cases == tuple(case for case in whole.cases if case.needle in ("good", "fine"))
    assert set(kept.sources) == {span.source for case in kept.cases for span in case.timeline}


def test_who_chose_is_written_and_the_written_suite_keeps_the_same_needles(tmp_path):
    whole = generated()
    kept = filter_needles(whole, asked(tmp_path, whole.cases))
    write_suite(kept, tmp_path / "out")
    assert read_suite(tmp_path / "out") == kept
    again = read_yaml(type(kept.suite), tmp_path / "out" / "suite.yaml")
    assert assemble(again, *world(dict.fromkeys(JUDGED, 10), frames=100)).cases == kept.cases


def test_a_run_of_another_suite_is_refused(tmp_path):
    folder = asked(tmp_path, generated().cases)
    with pytest.raises(UserError, match="does not hold as it was"):
        filter_needles(generated(names=("good", "fine")), folder)


def test_a_run_without_the_controls_is_refused(tmp_path):
    whole = generated()
    cases = [case for case in whole.cases if case.condition == "full"]
    folder = write_run(tmp_path / "run", cases, [make_record(case) for case in cases])
    with pytest.raises(UserError, match="was not asked needle_only and blind"):
        filter_needles(whole, folder)


def test_a_run_that_leaves_no_needle_is_refused(tmp_path):
    whole = generated(names=("guessed", "unread"))
    with pytest.raises(UserError, match="judge in .* leaves no needle: guessed: judge answers it blind"):
        filter_needles(whole, asked(tmp_path, whole.cases))


def kept_folder(tmp_path):
    whole = generated()
    write_suite(filter_needles(whole, asked(tmp_path, whole.cases, model="chance")), tmp_path / "out")
    return str(tmp_path / "out")


def test_the_model_that_chose_may_not_be_asked(tmp_path):
    with pytest.raises(UserError, match="those that chance was seen to answer"):
        make_plan(RunConfig(model="chance", suite=kept_folder(tmp_path)))


def test_another_model_may_be_asked(tmp_path):
    plan = make_plan(RunConfig(model="vilamp", suite=kept_folder(tmp_path)))
    assert {case.needle for case in plan.ordered} == {"good", "fine"}


def test_a_run_of_chosen_needles_knows_who_chose(tmp_path):
    cases = generated().cases[:1]
    yaml = "name: fake\nfootage: {world: fake}\nkept: {by: chance, needles: [good]}\n"
    folder = write_run(tmp_path / "run", cases, [make_record(case) for case in cases], suite=yaml)
    assert read_run(folder).needles_selected_by == "chance"


def test_the_command_says_which_needles_go(tmp_path, capsys, monkeypatch):
    from niah.cli import generate as command
    from niah.cli import tree

    whole = generated()
    monkeypatch.setattr(command, "generate", lambda *given: whole)  # placing needles needs no footage on disk
    suite_file = write_text(tmp_path / "any.yaml", "name: any", "footage: {world: any}")
    folder = asked(tmp_path, whole.cases)
    assert tree.main(["generate", str(suite_file), "-o", str(tmp_path / "out"), "--keep", str(folder)]) == 0
    told = capsys.readouterr()
    assert "kept 2 of 4 needles: those judge answers with needle_only and not blind" in told.out
    assert "dropped guessed: judge answers it blind" in told.err
    rows = [json.loads(line) for line in (tmp_path / "out" / "cases.jsonl").read_text().splitlines()]
    assert {row["needle"] for row in rows} == {"good", "fine"}
