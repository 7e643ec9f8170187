"""Replies as models word them: a table of those that were read wrongly once, and variations of a grammar."""

import json
from pathlib import Path

import pytest

from niah.option_scores import answered_letter
from niah.scoring import ends_in_thought, extract_answer, shows_thought
from tests.helpers.fake_runs import make_case, make_record
from tests.helpers.reply_grammar import variation

ROWS = [json.loads(line) for line in Path(__file__).with_name("wild_replies.jsonl").read_text("utf-8").splitlines()]
OPTIONS = ("A ball", "A stick", "A frisbee", "A bird")
FIVE = (*OPTIONS, "A cat")


@pytest.mark.parametrize("row", ROWS, ids=[row["reply"] for row in ROWS])
def test_a_reply_is_read_as_a_careful_person_reads_it(row):
    assert extract_answer(row["reply"], row["options"]) == row["letter"]


def test_no_variation_is_read_as_a_wrong_letter_and_nearly_all_are_read():
    read = [(variation(number), extract_answer(*variation(number)[:2])) for number in range(2000)]
    assert [(reply, got) for (reply, _, letter), got in read if got not in (letter, None)] == []
    unread = [reply for (reply, _, letter), got in read if got is None and letter is not None]
    assert len(unread) <= 10, unread


def test_the_variations_differ_and_a_fifth_names_no_option():
    known = [variation(number) for number in range(2000)]
    assert len({reply for reply, _, _ in known}) > 1500
    assert 0.2 < sum(letter is None for _, _, letter in known) / 2000 < 0.32


KINDS = [
    # thoughts
    ("<|START_THINKING|>Answer: A<|END_THINKING|><|START_RESPONSE|>B<|END_RESPONSE|>", OPTIONS, "B"),
    (
        "<|channel|>commentary<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>The answer is D<|return|>",
        OPTIONS,
        "D",
    ),
    ("<|channel|>analysis<|message|>A? B?", OPTIONS, None),
    ("analysisThe user wants a letter. Maybe A.assistantfinalB", OPTIONS, "B"),
    ("analysisThe user wants a letter. Maybe A.", OPTIONS, None),
    ("Thinking...\nA maybe\n...done thinking.\n\nB", OPTIONS, "B"),
    ("Here is my thought process: A. Here is my response:\nB", OPTIONS, "B"),
    ('<details type="reasoning">A</details>B', OPTIONS, "B"),
    ("<think>I must write <think> first. A?</think>B", OPTIONS, "B"),
    ("<think>The answer is B", OPTIONS, None),
    ("B <think>but maybe C", OPTIONS, None),
    ("<think>A</think><think>B", OPTIONS, None),
    ("\\boxed{B}\n<think>hmm", OPTIONS, None),
    # JSON
    ('{"answer": {"letter": "B", "text": "A stick"}}', OPTIONS, "B"),
    ('{"answer": ["B"]}', OPTIONS, "B"),
    ('{"answer": ["A", "B"]}', OPTIONS, None),
    ('{"answer": null, "thought": "A"}', OPTIONS, None),
    ('{"reasoning": "It is A", "answer": "B', OPTIONS, "B"),  # cut within the answer
    ('{"reasoning": "It is A', OPTIONS, None),
    ('{"A": false, "B": true, "C": false, "D": false}', OPTIONS, "B"),
    ("answer: B\nreasoning: A is not seen", OPTIONS, "B"),
    ('final_answer("B")', OPTIONS, "B"),
    ("Action: Finish[B]", OPTIONS, "B"),
    # boxes
    ("\\boxed{x = 3}. So C.", OPTIONS, "C"),
    ("\\boxed{\\textbf{(B)}}", OPTIONS, "B"),
    ("The answer is A. \\boxed{E}", OPTIONS, None),  # a letter, but of no option
    ("\\boxed{A, B}", OPTIONS, None),
    ("\\boxed{B. A ball}", OPTIONS, None),
    ("<CONCLUSION>B</CONCLUSION>", OPTIONS, "B"),
    # turns
    ("B\n### Instruction: x\n### Response: A", OPTIONS, "B"),
    ("Bassistant\n\nThe answer is C", OPTIONS, "B"),  # headers whose special tokens were left out
    ("B<|im_end|>\n<|im_start|>user\nC<|im_end|>", OPTIONS, "B"),
    # verdicts
    ("A \u274c, B \u2705, C \u274c", OPTIONS, "B"),
    ("\u274c A\n\u2705 B\n\u274c C\n\u274c D", OPTIONS, "B"),
    ("A: Yes\nB: Yes", OPTIONS, None),
    ("A: No\nB: No\nC: No\nD: No", OPTIONS, None),
    ("A错,B对,C错,D错", OPTIONS, "B"),
    ("Wrong: A, B, C. Right: D", OPTIONS, "D"),
    ("I'd rule out A, B and D, leaving C.", OPTIONS, "C"),
    # languages
    ("La bonne réponse est la B.", OPTIONS, "B"),
    ("A alternativa correta é a letra D", OPTIONS, "D"),
    ("Doğru cevap B'dir.", OPTIONS, "B"),
    ("Die Antwort ist nicht A, sondern B.", OPTIONS, "B"),
    ("La respuesta es A o B", OPTIONS, None),
    ("La respuesta no es A", OPTIONS, None),
    ("答案是A或B", OPTIONS, None),
    ("Bが正解です。", OPTIONS, "B"),
    ("AではなくB", OPTIONS, None),  # B to a person; unanswered is the price of reading no denial as an answer
    ("پاسخ صحیح گزینه B است", OPTIONS, "B"),
    ("คำตอบที่ถูกต้องคือ B", OPTIONS, "B"),
    ("E la risposta è la palla", FIVE, None),  # "and", not the fifth option
    ("E o homem sai", FIVE, None),
    # letters of other scripts, signs without a width
    ("\u0391", OPTIONS, "A"),  # Greek
    ("\u0415", FIVE, "E"),  # Cyrillic
    ("Ответ: \u0412", OPTIONS, "B"),
    ("\u0412 видео собака", OPTIONS, None),  # "in"
    ("\u0410 собака бежит", OPTIONS, None),  # "and"
    ("\u202eB\u202c", OPTIONS, "B"),
    ("\u061cB", OPTIONS, "B"),
    ("\U0001f1e7\U0001f1ea\nAnswer: C", OPTIONS, "C"),  # a flag
    # what is named but not chosen
    ("Both (A) and (C) are visible, but the dog catches (C).", OPTIONS, "C"),
    ("Both A and B are correct", OPTIONS, None),
    ("I cannot answer. B? No.", OPTIONS, None),
    ("Vitamin C and D", OPTIONS, None),
]


@pytest.mark.parametrize("reply, options, letter", KINDS)
def test_others_of_the_same_kinds_are_read_as(reply, options, letter):
    assert extract_answer(reply, options) == letter


@pytest.mark.parametrize(
    "reply, letter", [("Is it A? </think>B", "B"), ("Is it A? The answer is A", None), ("<think>A</think>C", "C")]
)
def test_a_thought_that_the_prompt_opened_has_to_be_closed(reply, letter):
    assert extract_answer(reply, OPTIONS, in_thought=True) == letter


@pytest.mark.parametrize(
    "reply, letter",
    [
        ("So, let me look at the video. Option B shows", None),
        ("I see a stick. The dog also sees", None),
        ("B. A stick. The dog runs and", "B"),
        ("A stick, because the dog", "B"),
        ("The answer is C, since the", "C"),
    ],
)
def test_of_a_reply_cut_at_its_limit_only_what_it_declares_or_opens_with_counts(reply, letter):
    assert extract_answer(reply, OPTIONS, cut_short=True) == letter


def test_records_say_whether_a_reply_was_cut_or_began_inside_a_thought():
    case = make_case("n0")
    kept = {"finish_reason": "stop", "prompt_opens_thought": False}
    assert answered_letter(case, make_record(case, "Let me see. Option B shows", **kept)) == "B"
    assert answered_letter(case, make_record(case, "Let me see. Option B shows", finish_reason="length")) is None
    assert answered_letter(case, make_record(case, "Option B", prompt_opens_thought=True)) is None


@pytest.mark.parametrize(
    "prompt, opens",
    [
        ("user\nWhich?<|im_end|>\n<|im_start|>assistant\n<think>\n", True),
        ("assistant\n<think>\n\n</think>\n\n", False),
        ("What does <think> mean?\nassistant\n", False),
        ("[THINK]", True),
    ],
)
def test_a_prompt_ends_inside_a_thought_if_its_last_words_open_one(prompt, opens):
    assert ends_in_thought(prompt) is opens


def test_a_marker_of_a_thought_is_found_wherever_it_stands():
    assert shows_thought("[THINK]a[/THINK]B") and not shows_thought("I think B")
