"""Which option a record stands for under each rule, with sums that a reader can divide by hand."""

from __future__ import annotations

import dataclasses

import pytest

from niah.option_scores import SCORE_BY, answered_letter, can_score, is_correct, rule_scores, scored_by
from niah.types import OptionLikelihood, Placement, Record, UserError
from tests.helpers.fake_runs import make_case, make_record

# Four options on which every rule prefers another: their sums, tokens, bytes, and the sums without the video.
OPTIONS = (
    OptionLikelihood(-2.0, 1, 1, -1.0),  # the shortest: the best sum
    OptionLikelihood(-3.0, 20, 10, -3.5),  # 20 tokens: -0.15 each
    OptionLikelihood(-4.0, 5, 100, -4.25),  # 100 bytes: -0.04 each
    OptionLikelihood(-5.0, 2, 4, -9.0),  # 4 better than without the video
)
CHOSEN = {"sum": "A", "per_token": "B", "per_byte": "C", "minus_blind": "D"}


def scored(options=OPTIONS, reply="Down", mode="likelihood", **changes):
    return make_record(make_case("n0"), reply, mode=mode, option_likelihoods=options, **changes)


@pytest.mark.parametrize("rule, letter", CHOSEN.items())
def test_each_rule_takes_the_option_it_prefers(rule, letter):
    assert answered_letter(make_case("n0"), scored(reply="Right"), rule) == letter
    assert scored_by(scored(), rule) == rule


def test_the_scores_of_every_rule_are_those_of_the_definition():
    assert rule_scores(OPTIONS, "sum") == (-2.0, -3.0, -4.0, -5.0)
    assert rule_scores(OPTIONS, "per_token") == (-2.0, -0.15, -0.8, -2.5)
    assert rule_scores(OPTIONS, "per_byte") == (-2.0, -0.3, -0.04, -1.25)
    assert rule_scores(OPTIONS, "minus_blind") == (-1.0, 0.5, 0.25, 4.0)


def test_without_a_rule_the_reply_is_what_the_model_chose():
    assert answered_letter(make_case("n0"), scored(reply="Right")) == "B"
    assert scored_by(scored()) == "likelihood"


def test_of_equal_scores_the_first_is_taken_as_adapters_do():
    blind = [OptionLikelihood(-sum_, 1, 1, -sum_) for sum_ in (3.0, 1.0, 2.0, 4.0)]  # no video: nothing is gained
    assert answered_letter(make_case("n0"), scored(tuple(blind)), "minus_blind") == "A"


@pytest.mark.parametrize("rule", CHOSEN)
def test_a_generated_reply_is_read_whatever_the_rule(rule):
    record = make_record(make_case("n0"), "It is (C)")
    assert (answered_letter(make_case("n0"), record, rule), scored_by(record, rule)) == ("C", "generated")


def test_minus_blind_needs_the_likelihoods_without_the_video():
    record = scored(tuple(OptionLikelihood(-1.0, 1, 1) for _ in range(4)), reply="Up")
    assert (answered_letter(make_case("n0"), record, "minus_blind"), scored_by(record, "minus_blind")) == (
        "C",
        "likelihood",
    )
    assert [rule for rule in SCORE_BY if can_score(record, rule)] == ["sum", "per_token", "per_byte"]


def test_minus_blind_needs_them_of_every_option():
    some = (OptionLikelihood(-1.0, 1, 1, -2.0), *(OptionLikelihood(-1.0, 1, 1) for _ in range(3)))
    assert not can_score(scored(some), "minus_blind")
    with pytest.raises(ValueError, match="minus_blind needs the likelihood without the video"):
        rule_scores(some, "minus_blind")


def test_letter_reads_generated_replies_alone():
    generated = make_record(make_case("n0"), "B")
    assert can_score(generated, "letter") and not can_score(scored(), "letter")
    assert [rule for rule in SCORE_BY if can_score(generated, rule)] == ["letter"]


def test_a_record_is_right_by_the_rule_that_is_named():
    case, record = make_case("n0", answer="D"), scored(reply="Right")
    assert is_correct(case, record, "minus_blind")
    assert not is_correct(case, record) and not is_correct(case, record, "sum")


def test_likelihoods_survive_a_line_of_records():
    record = scored(frame_size=(336, 448), frame_times=True, finish_reason="length")
    assert Record.from_json(record.to_json()) == record
    row = record.to_json()
    assert row["option_likelihoods"][3] == {"log_probability": -5.0, "tokens": 2, "bytes": 4, "without_video": -9.0}


def test_records_from_before_have_none_of_the_new_fields():
    row = make_record(make_case("n0")).to_json()
    for name in ("settings", "frame_size", "frame_times", "finish_reason", "option_likelihoods"):
        del row[name]
    old = Record.from_json(row)
    assert (old.frame_size, old.frame_times, old.finish_reason, old.option_likelihoods) == (None,) * 4


def test_a_record_that_lacks_an_old_field_or_has_an_unknown_one_is_refused():
    row = make_record(make_case("n0")).to_json()
    with pytest.raises(UserError, match="another version wrote it"):
        Record.from_json({**row, "mood": "good"})
    del row["reply"]
    with pytest.raises(UserError, match="another version wrote it"):
        Record.from_json(row)


@pytest.mark.parametrize("tokens, size", [(0, 1), (1, 0)])
def test_an_option_without_tokens_or_bytes_has_no_likelihood(tokens, size):
    with pytest.raises(ValueError, match="at least one token and byte"):
        OptionLikelihood(-1.0, tokens, size)


def interval_case():
    """Return a case that asks when its clip is shown: 10 of 100 frames, one a second, from 45 s to 55 s."""
    placed = Placement("n0", 45, 55)
    return make_case("n0", length=100, options=(), answer="", kind="when", needles=(placed,), type="motion")


@pytest.mark.parametrize(
    "reply, correct", [("from 45 s to 55 s", True), ("45 s - 65 s", True), ("45 s - 66 s", False), ("at noon", False)]
)
def test_an_interval_is_right_from_an_overlap_of_one_half_on(reply, correct):
    case = interval_case()
    assert case.asks_interval and is_correct(case, make_record(case, reply)) == correct


def test_a_reply_cut_at_its_limit_counts_only_where_it_was_written_and_not_chosen():
    ends_with_a_letter = "The arrow is at the left side. B"
    generated = make_record(make_case("n0"), ends_with_a_letter, finish_reason="length")
    chosen = dataclasses.replace(generated, mode="likelihood")
    assert (answered_letter(make_case("n0"), generated), answered_letter(make_case("n0"), chosen)) == (None, "B")
