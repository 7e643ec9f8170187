"""What the experiment concludes from records: numbers by hand, rules that bite, and the same bytes twice."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from niah.types import UserError
from vilamp.config import written
from vilamp.train.experiment.analyse import accuracy_table, analyse, secondary_contrasts
from vilamp.train.experiment.config import (
    Budget,
    Curriculum,
    Experiment,
    GainContrast,
    Primary,
    Secondary,
    SuitePart,
    TrainingJob,
)
from vilamp.train.experiment.contrasts import (
    Contrast,
    ContrastEstimate,
    accuracy,
    contrasts,
    difference,
    gates,
    interaction,
    passed,
    weighted_sum,
)
from vilamp.train.experiment.records import Answer, load_answers
from vilamp.train.experiment.verdict import contrast_text

TYPES = ("motion-named", "digit-named", "motion-unnamed", "digit-unnamed")


def answer(scheme, seed, number, right, condition="full", type="motion-named", haystack=None):
    source = f"needle-{number}"
    place = (haystack or f"haystack-{number % 5}") if condition == "full" else ""
    depth = 0.5 if condition == "full" else None
    case = f"{source}.{condition}"
    return Answer(scheme, 2.0, seed, case, condition, type, place, 256, depth, right, 512, 3)


def many(scheme, shares, cases=40, **told):
    """Answers of as many seeds as there are shares; the first cases of each seed are right."""
    return [
        answer(scheme, seed, number, number < share * cases, **told)
        for seed, share in enumerate(shares)
        for number in range(cases)
    ]


def test_accuracy_is_the_mean_over_seeds_and_tells_each():
    spread = accuracy(many("mean", (0.5, 0.75, 1.0)), "a")
    assert spread.value == 0.75
    assert spread.seeds == {0: 0.5, 1: 0.75, 2: 1.0}
    assert spread.cases == 40
    assert 0.5 <= spread.low < 0.75 < spread.high <= 1.0


def test_the_interval_of_one_seed_is_over_haystacks_alone():
    spread = accuracy(many("mean", (0.5,)), "a")
    assert (spread.value, spread.p) == (0.5, None)


def test_schemes_are_compared_on_the_cases_and_seeds_that_both_have():
    first, second = many("differential", (1.0, 1.0)), many("mean", (0.5, 0.25, 0.0))
    assert difference(first, second, "d").seeds == {0: 0.5, 1: 0.75}


def test_a_scheme_whose_needle_only_is_at_chance_did_not_train():
    # Wilson's lower end of 10 of 40 is 0.142, of 17 of 40 0.285, of 16 of 40 0.264, of 15 of 40 0.242
    for right, trained in ((10, False), (15, False), (16, True), (17, True)):
        found = many("mean", (right / 40,), condition="needle_only")
        assert [gate.trained for gate in gates(found)] == [trained]
        assert len(passed([*found, *many("mean", (1.0,))])) == (80 if trained else 0)


def test_fewer_than_two_pairs_of_seeds_have_no_verdict():
    found = [*many("differential", (1.0, 1.0)), *many("mean", (0.0,))]
    (one,) = contrasts(found, "differential", ["mean"], "c")
    assert (one.estimate, one.corrected, one.found) == (None, None, False)


def test_a_difference_is_found_where_seeds_agree_and_not_where_they_do_not():
    def noisy(scheme, shares):
        rng = np.random.default_rng(7)
        return [answer(scheme, s, n, bool(rng.random() < share)) for s, share in enumerate(shares) for n in range(200)]

    clear = [*noisy("differential", (0.9, 0.85, 0.9)), *noisy("mean", (0.4, 0.45, 0.4))]
    unsure = [*noisy("differential", (0.9, 0.4, 0.5)), *noisy("mean", (0.5, 0.5, 0.4))]
    assert contrasts(clear, "differential", ["mean"], "c")[0].found
    assert not contrasts(unsure, "differential", ["mean"], "c")[0].found


def test_four_contrasts_are_corrected_for_being_four():
    rng = np.random.default_rng(3)
    found = [
        answer(scheme, seed, number, bool(rng.random() < share))
        for scheme, share in (("a", 0.8), ("b", 0.5), ("c", 0.5), ("d", 0.5), ("e", 0.5))
        for seed in range(3)
        for number in range(60)
    ]
    alone = contrasts(found, "a", ["b"], "x")[0]
    together = contrasts(found, "a", ["b", "c", "d", "e"], "x")
    smallest = min(one.estimate.p for one in together)
    assert min(one.corrected for one in together) == pytest.approx(4 * smallest)
    assert together[0].estimate == alone.estimate


@pytest.mark.parametrize("between", [0.0, 0.08])
def test_where_schemes_are_equal_few_contrasts_are_found(between):
    # 300 experiments of three seeds and 60 needles; seeds differ by `between`. Of tests at 5 %, 24 is the 99th centile.
    rng, found = np.random.default_rng(5), 0
    for _ in range(300):
        hard = rng.random(60)  # needles both schemes find hard
        made = []
        for scheme in ("a", "b"):
            for seed in range(3):
                shift = rng.normal(0, between)
                made += [answer(scheme, seed, n, bool(rng.random() < 0.25 + 0.5 * hard[n] + shift)) for n in range(60)]
        found += difference(made[:180], made[180:], "null").p < 0.05
    assert found <= 24


def test_an_interaction_is_a_difference_of_differences():
    named = [*many("d", (1.0, 1.0), type="motion-named"), *many("u", (0.5, 0.5), type="motion-named")]
    shift = 100  # other needles
    unnamed = [
        answer(scheme, seed, shift + number, number < share * 20, type="motion-unnamed")
        for scheme, share in (("d", 0.5), ("u", 0.75))
        for seed in range(2)
        for number in range(20)
    ]
    first = [one for one in (*named, *unnamed) if one.compressor == "d"]
    other = [one for one in (*named, *unnamed) if one.compressor == "u"]
    spread = interaction(first, [other], {"motion-named"}, {"motion-unnamed"}, "i")
    assert spread.value == pytest.approx((1.0 - 0.5) - (0.5 - 0.75))


def test_a_weighed_sum_is_over_the_seeds_and_cases_that_all_parts_have():
    first, other = many("d", (1.0, 1.0, 0.0)), many("u", (0.5, 0.25))
    assert weighted_sum([(1.0, first), (-1.0, other)], "w").seeds == {0: 0.5, 1: 0.75}
    assert weighted_sum([(1.0, first), (-1.0, [])], "w") is None


def test_what_a_scheme_gains_by_tokens_is_told_beside_what_differential_gains(experiment):
    def at(budget, scheme, shares):
        return [dataclasses.replace(one, budget=budget) for one in many(scheme, shares)]

    gates = [
        dataclasses.replace(one, budget=budget)
        for budget in (1.25, 4.0) for scheme in ("differential", "uniform")
        for one in many(scheme, (1.0, 1.0), condition="needle_only")
    ]  # fmt: skip
    shares = at(1.25, "differential", (0.5, 0.5)) + at(4.0, "differential", (0.75, 0.75))
    shares += at(1.25, "uniform", (0.25, 0.25)) + at(4.0, "uniform", (1.0, 1.0))
    assert not any("budget" in name for name in secondary_contrasts(experiment, gates + shares))  # of one budget
    gains = tuple(
        GainContrast(f"budget/{name}", f"budget: {name}", name, "differential", 1.25, 4.0)
        for name in ("uniform", "keyframes")
    )
    budgets = tuple(Budget(tokens, (256,)) for tokens in (2.0, 1.25, 4.0))
    several = dataclasses.replace(experiment, budgets=budgets, secondary=Secondary(gains=gains))
    told = {name: spread for name, spread in secondary_contrasts(several, gates + shares).items() if "budget" in name}
    assert [spread and spread.value for spread in told.values()] == [0.5, None]  # uniform (1 - .25) - (.75 - .5)


def test_a_difference_without_any_spread_is_not_called_untrained():
    found = [*many("a", (1.0, 1.0)), *many("b", (0.0, 0.0))]
    (one,) = contrasts(found, "a", ["b"], "x")
    assert "no verdict, as nothing varies" in contrast_text(one)


def test_a_seed_at_0_is_on_no_side():
    spread = ContrastEstimate(-0.1, -0.2, 0.0, {0: -0.2, 1: 0.0}, 40, 0.03)
    assert "seeds disagree in sign: no difference found" in contrast_text(Contrast("a", "b", spread, 0.03))


@pytest.fixture()
def experiment(tmp_path):
    """Records of two schemes and two seeds: 8 needles in 4 haystacks; one scheme right on all, one on every second."""
    made = Experiment(
        name="made", output=str(tmp_path / "out"), results=str(tmp_path / "results"), suite="smoke",
        budgets=(Budget(2.0, (256,)),), primary=Primary("differential", 2.0), asked=(SuitePart("far", ("full",), lengths=(10000,)),),
        schemes=("differential", "keyframes", "uniform", "mean", "summary"), seeds=(0, 1), course=Curriculum(),
    )  # fmt: skip
    cases, replies = [], {0: [], 1: []}
    for number in range(24):
        for condition, length in (("full", 256), ("full", 10000), ("needle_only", 20)):
            name = f"needle-{number}.{condition}.{length}"
            start = {256: "118-138", 10000: "4990-5010", 20: "0-20"}[length]
            home = f"haystack-{number % 4}" if condition == "full" else ""
            right = "ABCD"[number % 4]
            options = json.dumps(["left", "right", "up", "down"])
            needle = [TYPES[number % 4], f"needle-{number}", f"f:{number}", home]
            cases.append([name, condition, *needle, length, start, options, right])
            word = ["left", "right", "up", "down"]
            good, bad = word["ABCD".index(right)], word[("ABCD".index(right) + 1) % 4]
            replies[0].append([name, good, 530, 256, 4, 20, 1])
            replies[1].append([name, good if number % 8 < 4 else bad, 530, 256, 0, 20, 0])
    columns = "case condition type needle source haystack length start options answer"
    write(tmp_path / "results" / "cases.csv", columns, cases)
    for scheme, which in (("differential", 0), ("mean", 1)):
        for seed in (0, 1):
            path = tmp_path / "results" / "records" / "far" / f"{scheme}-2-{seed}.csv"
            write(path, "case reply tokens seen kept needle_seen needle_kept", replies[which])
            about = {"climbed": [[10, 1], [20, 0]], "cpu_seconds": 1500 if seed else 600}
            model = written(made.model_of(TrainingJob(scheme, made.budgets[0], seed)))
            about |= {"parameters": 5, "encoders": "a", "course": dataclasses.asdict(made.course), "model": model}
            trained = tmp_path / "results" / "trainings" / f"{scheme}-2-{seed}.json"
            trained.parent.mkdir(exist_ok=True)
            trained.write_text(json.dumps(about))
    return made


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header.split(), *rows])


def test_records_redraw_every_file_byte_for_byte(experiment):
    folder = Path(experiment.results)
    text = analyse(experiment)
    made = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "cases.csv"}
    tables = {"table.csv", "contrasts.csv", "trainings.csv", "verdict.md"}
    assert tables | {"accuracy.png", "accuracy.svg", "heatmap.png", "lengths.png"} <= set(made)
    for name in made:
        (folder / name).unlink()
    analyse(experiment)
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert "4 of 10 trainings are done" in text
    assert "`differential` less `keyframes`: no verdict" in text


def test_the_table_says_accuracy_tokens_and_what_was_seen(experiment):
    rows = accuracy_table(load_answers(experiment, experiment.jobs()[:5:3]))  # differential and mean of seed 0
    (row,) = [
        row for row in rows
        if (row.compressor, row.seed, row.condition, row.length, row.type) == ("mean", "all", "full", "256", "all")
    ]  # fmt: skip
    assert (row.n, row.accuracy, row.tokens, row.seen) == (24, 0.5, 530.0, 1.0)


def test_a_type_of_one_word_is_counted_once():
    rows = accuracy_table(many("mean", (0.5,), type="motion"))
    assert {row.type: row.n for row in rows} == {"motion": 40, "all": 40}


def test_a_training_over_the_limit_is_told(experiment):
    told = analyse(experiment)
    for scheme in ("differential", "mean"):
        assert f"- {scheme}, 2 tokens, seed 1: 25.0\n" in told.split("more than 20 minutes of one core")[1]
    rows = list(csv.DictReader((Path(experiment.results) / "trainings.csv").read_text().splitlines()))
    assert [(row["minutes"], row["within_limit"], row["climbed"]) for row in rows if row["scheme"] == "mean"] == [
        ("10.0000", "True", "10 20*"), ("25.0000", "False", "10 20*"),
    ]  # fmt: skip


def test_a_reply_to_an_unknown_case_is_refused(experiment):
    path = Path(experiment.results) / "records" / "far" / "mean-2-0.csv"
    path.write_text(path.read_text() + "needle-9.full.7,left,1,1,1,1,1\n")
    with pytest.raises(UserError, match=r"mean-2-0.csv: cases.csv holds no case 'needle-9.full.7'"):
        analyse(experiment)


def test_trainings_on_other_encoders_are_not_compared(experiment):
    path = Path(experiment.results) / "trainings" / "mean-2-0.json"
    path.write_text(path.read_text().replace('"encoders": "a"', '"encoders": "b"'))
    with pytest.raises(UserError, match=r"trainings on 2 sets of encoders \(a, b\)"):
        analyse(experiment)


@pytest.mark.parametrize(("what", "other"), [("course", {"steps": 6000}), ("model", {"threshold": 0.5})])
def test_trainings_of_another_course_or_model_are_not_compared(experiment, what, other):
    path = Path(experiment.results) / "trainings" / "mean-2-0.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, what: {**about[what], **other}}))
    with pytest.raises(UserError, match=f"another {what} than this config's: mean-2-0"):
        analyse(experiment)


def test_a_probe_stands_beside_its_model_on_the_cases_both_were_asked(experiment):
    records = Path(experiment.results) / "records"
    (records / "probe").mkdir()
    name = "differential-2-0.csv"  # the probe answers as `mean` did: every second case right
    (records / "probe" / name).write_text((records / "far" / "mean-2-0.csv").read_text())
    asked = (*experiment.asked, SuitePart("probe", ("full",), probe=True))
    text = analyse(dataclasses.replace(experiment, asked=asked))
    assert "- differential: probe 50.0%, model 100.0% of 48" in text


def test_without_records_it_says_what_makes_them(experiment, tmp_path):
    with pytest.raises(UserError, match="no training that was asked everything: niah experiment"):
        analyse(dataclasses.replace(experiment, results=str(tmp_path / "nothing")))
