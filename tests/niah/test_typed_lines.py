"""A line is decoded at once only where reading it with care gives the same; whatever is wrong is left to that."""

from __future__ import annotations

import dataclasses
import json

import pytest

from niah.run.records import check_record
from niah.settings import check_types
from niah.typed_lines import line_decoder
from niah.types import Case, DrawnReply, OptionLikelihood, Record
from tests.helpers.fake_runs import make_case, make_record

CASE = make_case("n0")
RECORD = dataclasses.replace(
    make_record(CASE, "A", frames_kept=(0, 3)),
    option_scores=(1, -0.0, 2.5),  # whole numbers stay whole
    frame_size=(384, 384),
    option_likelihoods=(OptionLikelihood(-1.5, 2, 7), OptionLikelihood(-2, 2, 7, -0.0)),
    samples=(DrawnReply("A", 1, "stop"), DrawnReply("B")),
    measured={"seconds": {"decode": 1, "nested": None}, "anything": [{"a": 1}, 1.0, None, True]},
)


def by_hand(cls, line):
    value = check_types(cls.from_json(json.loads(line)))
    return check_record(value) if cls is Record else value


def check(value):
    if isinstance(value, Record):
        check_record(value)


@pytest.mark.parametrize("value", [CASE, dataclasses.replace(CASE, fps=1, asked=("n0",), kind="times"), RECORD])
def test_a_whole_line_is_decoded_into_what_reading_with_care_makes_of_it(value):
    line = json.dumps(value.to_json()).encode()
    decoded = line_decoder(type(value), check)(line)
    assert decoded == by_hand(type(value), line) == value
    assert json.dumps(decoded.to_json()).encode() == line


OTHERS = {  # replacements in a good line
    Case: [
        ('"length": 2000', '"length": 2000.0'),
        ('"length": 2000', '"length": 1999'),
        ('"version": 2', '"version": true'),
        ('"fps": 1.0', '"fps": 1e999'),
        ('"fps": 1.0', '"fps": NaN'),
        ('"fps": 1.0', f'"fps": {10**400}'),
        ('"options": [', '"options": [7, '),
        ('"id": "', '"speed": 2, "id": "'),
        ('{"source": ', '{"speed": 2, "source": '),
        ('"start": 0', '"start": -1'),
        ('"start": 0, "stop": ', f'"start": 0, "stop": {10**400}'),
        ('"type": "', '"type": "\\ud800'),
        ('"condition": "full"', '"condition": "fuller"'),
        ('{"id"', '[{"id"'),
    ],
    Record: [
        ('"reply": "A"', '"reply": null'),
        ('"repeats": 0', '"repeats": -1'),
        ('"repeats": 0', '"repeats": false'),
        ('"frames_kept": [0, ', '"frames_kept": [0.0, '),
        ('"frames_kept": [0, ', '"frames_kept": [true, '),
        ('"frame_size": [384', '"frame_size": [0'),
        ('"frame_size": [384', '"frame_size": [1, 384'),
        ('"tokens": 2', '"tokens": 0'),
        ('"seed": 1', '"luck": 1'),
        ('"decode": 1', '"decode": -1'),
        ('"anything": ', '"anything": ' + "[" * 5000 + "]" * 5000 + ', "more": '),
        ('"case": ', '"mood": "good", "case": '),
        ('"decoder": ', '"decodes": '),
        ('"status": "ok"', '"status": "oak"'),
    ],
}


@pytest.mark.parametrize(("cls", "old", "new"), [(cls, *pair) for cls, pairs in OTHERS.items() for pair in pairs])
def test_a_line_with_anything_odd_is_left_to_reading_with_care(cls, old, new):
    good = json.dumps((CASE if cls is Case else RECORD).to_json())
    assert old in good
    assert line_decoder(cls, check)(good.replace(old, new, 1).encode()) is None


def test_lines_share_what_they_have_in_common():
    decode = line_decoder(Record)
    one, other = (decode(json.dumps({**RECORD.to_json(), "case": name}).encode()) for name in "ab")
    assert one.frames_kept is other.frames_kept and one.model is other.model
