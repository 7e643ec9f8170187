from __future__ import annotations

import pytest

from niah.option_scores import is_correct
from niah.prompt import INSTRUCTION, format_prompt
from niah.scoring import extract_answer, extract_letter
from niah.types import Case, Question, Record, Span

FILLER = "The clip shows a ball. " * 20
LETTER_REPLIES = [
    # (reply, letter among four)
    ("<think>Is it A?</think> maybe <think>no, it is C</think> B", "B"),  # nothing hidden is read, however often
    ("<answer>A</answer> or <answer>B</answer>", None),
    ("Not (A). " + FILLER, None),  # denied at the start of a long reply, and at its end
    (FILLER + "It is not (A).", None),
    ("The answer is A or B. The answer is B.", None),  # two letters declared, whatever is declared after them
    ("Answer: A and B. Final answer: B", None),
    ("\U0001f151", "B"),  # white on black, in a circle and in a square
    ("\U0001f171", "B"),
    ("B", "B"),
    ("b", "B"),
    (" B\n", "B"),
    ("(B)", "B"),
    ("[B]", "B"),
    ("B.", "B"),
    ("B)", "B"),
    ("b)", "B"),
    ("B:", "B"),
    ('"B"', "B"),
    ("'B'", "B"),
    ("**B**", "B"),
    ("__B__", "B"),
    ("`B`", "B"),
    ("**Answer:** B", "B"),
    ("### Answer\nB", "B"),
    ("Answer: B", "B"),  # contains an A, before the B
    ("Answer:B", "B"),
    ("ANSWER: B", "B"),
    ("Answer - B", "B"),
    ("Answer B", "B"),
    ("answer is b", "B"),
    ("The answer is (B).", "B"),
    ("The answer is B because a man crosses the street.", "B"),
    ("The correct answer is: \n\n**B**", "B"),
    ("The answer to the question about the dog is B.", "B"),
    ("The correct option is most likely (b).", "B"),
    ("My final answer would be B", "B"),
    ("option b", "B"),
    ("Option B", "B"),
    ("I would go with option B.", "B"),
    ("I'd say B.", "B"),
    ("I think it's B", "B"),
    ("I choose B", "B"),
    ("It is B.", "B"),
    ("B is correct.", "B"),
    ("B is the correct answer.", "B"),
    ("(B) seems to be the right one", "B"),
    ("Based on the video, the best choice is B) the dog", "B"),
    ("A", "A"),
    ("A.", "A"),
    ("A, because the car turns", "A"),
    ("A is correct", "A"),
    ("A because it turns", "A"),
    ("a", "A"),
    ("a)", "A"),
    ("The answer is a.", "A"),
    ("Answer: A\nThe man leaves.", "A"),
    ("D - the car", "D"),
    ("C\n\nExplanation: A man crosses the street.", "C"),
    ("A man crosses the street", None),  # an article, not an option
    ("A Man crosses the street", None),
    ("Answer: A man crosses the street", None),
    ("The answer is a man", None),
    ("I think the man leaves", None),  # a pronoun
    ("I", None),  # not among four
    ("E", None),
    ("Answer: F", None),
    ("", None),
    ("   ", None),
    ("...", None),
    ("Because the car turned", None),
    ("The man in vitamin C advert", None),
    ("B-52 bombers fly", None),
    ("He drives from A to B", None),
    ("D.C. is shown", None),
    ("A.M. or P.M.", None),
    ("E.g. the man", None),
    ("C++ code", None),
    ("A or B", None),
    ("A and B", None),
    ("B/C", None),
    ("B C", None),
    ("B, C", None),
    ("B or C", None),
    ("(A) and (B)", None),
    ("Option A or option B", None),
    ("The answer is A or B.", None),
    ("Both A and C are correct.", None),
    ("Answer: A. Wait, no. Answer: B.", None),
    ("A. left\nB. right\nC. up\nD. down", None),  # the options read back
    ("ABCD", None),
    ("A, B or " * 500, None),  # once took minutes: separators that could be matched in two ways
    ("<think>" * 5000, None),
    ("B <think>or C?</think>", "B"),
    ("not B", None),
    ("Not B.", None),
    ("It is not B", None),
    ("It isn't B.", None),
    ("The answer is not B.", None),
    ("The answer can't be B", None),
    ("I don't think it's B", None),
    ("B is wrong", None),
    ("B is not correct.", None),
    ("The wrong answer is B", None),
    ("Anything rather than B", None),
    ("neither A nor B", None),
    ("Not A. The answer is B.", "B"),
    ("It is not A but B", "B"),
    ("A is incorrect, so B.", "B"),
    ("It's not A, B or C; it is D.", "D"),
    ("A and C are wrong. B.", "B"),
    ("C is not right; D is.", "D"),
    ("A is wrong and the answer is B", "B"),
    ("Between A and B, I choose B.", "B"),
    ("A) the man jumps: not shown. B) the man runs: shown. C) not shown.\nThe correct answer is B.", "B"),
    ("A: no. B: yes, it shows this. Therefore, B.", "B"),
    ("Answer: B. Option A is not supported, and C never happens.", "B"),
    ("I cannot determine the answer.", None),
    ("I'm sorry, but I can't watch videos.", None),
    ("I can't choose between A and B.", None),
    ("I cannot see it clearly, but if I must guess: C", "C"),
    ("None of the above", None),
    ("\uff22", "B"),  # full width
    ("\uff08\uff22\uff09", "B"),
    ("\u24b7", "B"),  # circled
    ("\U0001f171\ufe0f", "B"),  # a white B on a dark square
    ("\U0001d401", "B"),  # mathematical bold
    ("\u3010B\u3011", "B"),
    ("\u7b54\u6848\u662fB\u3002", "B"),  # "the answer is B" in Chinese, without spaces
    ("\u7b54\u6848\uff1aB", "B"),
    ("Respuesta: B", "B"),
    ("\u201cB\u201d", "B"),
    ("B \u2014 the dog", "B"),
    ("\\boxed{B}", "B"),
    ("So the answer is $\\boxed{\\text{B}}$.", "B"),
    ("\\(\\boxed{B}\\)", "B"),
    ("Not A, perhaps D. \\boxed{C}", "C"),
    ("\\boxed{B} \\boxed{C}", None),
    ("<answer>B</answer>", "B"),
    ("<answer> (B) </answer>", "B"),
    ("A may be right. <answer>B</answer>", "B"),
    ("<answer>B", "B"),
    ("<think>Could be A. Or C?</think>B", "B"),
    ("Could be A. Or C?\n</think>\n\nB", "B"),  # the template opened the tag
    ("<think>The answer is A, no", None),  # cut off while thinking
    ("<thinking>A</thinking><answer>D</answer>", "D"),
    ("B<|im_end|>", "B"),
    ("<|channel|>final<|message|>B", "B"),
    ("B</s>", "B"),
    ('{"answer": "B"}', "B"),
    ("<b>B</b>", "B"),
]


@pytest.mark.parametrize("reply, letter", LETTER_REPLIES)
def test_reply_is_read_as_letter(reply, letter):
    assert extract_letter(reply, options=4) == letter


WAYS = ("Left", "Right", "Up", "Down")
BEARS = ("bear", "brown bear", "a polar bear", "The fox.")
DIGITS = ("2", "3", "5", "13")
NAMES = ("D", "A", "C", "B")  # texts that are letters, each beside another letter
PEOPLE = ("A man crosses the street", "A man leaves", "B is taller than A", "Nobody")
YES_NO = ("Yes", "No")

TEXT_REPLIES = [
    ("Right", WAYS, "B"),
    ("right.", WAYS, "B"),
    ("It moves to the right.", WAYS, "B"),
    ("B. Right", WAYS, "B"),
    ("B Right", WAYS, "B"),
    ("B-Right", WAYS, "B"),
    ("(B) Right", WAYS, "B"),
    ("b) right", WAYS, "B"),
    ("Right (B)", WAYS, "B"),
    ("Right (option B)", WAYS, "B"),
    ("**B. Right**", WAYS, "B"),
    ("The answer is B, it moves right.", WAYS, "B"),
    ("The right answer is Left.", WAYS, "A"),  # "right" as in correct
    ("The right answer is D", WAYS, "D"),
    ("It moves right, not left.", WAYS, "B"),
    ("It does not move left but right", WAYS, "B"),
    ("It doesn't go left", WAYS, None),
    ("Left or right", WAYS, None),
    ("It moves from left to right", WAYS, None),
    ("B. Left", WAYS, None),  # the letter contradicts the text it is followed by
    ("B\nLeft", WAYS, None),
    ("Left (B)", WAYS, None),
    ("The answer is B: the square moves left.", WAYS, None),
    ("Answer: B. The square moves to the left.", WAYS, None),
    ("B, because the man on the left waves", WAYS, "B"),
    ("B. First it goes left, then right.", WAYS, "B"),
    ("a left-handed man", WAYS, None),
    ("upwards", WAYS, None),
    ("Forwards", WAYS, None),
    ("bear", BEARS, "A"),
    ("A bear", BEARS, "A"),
    ("A bear.", BEARS, "A"),
    ("brown bear", BEARS, "B"),
    ("A brown bear", BEARS, "B"),  # an article before a longer option
    ("I see a brown  bear in the snow", BEARS, "B"),
    ("B. brown bear", BEARS, "B"),
    ("polar bear", BEARS, "C"),
    ("C. A polar bear", BEARS, "C"),
    ("It is the fox", BEARS, "D"),
    ("A. brown bear", BEARS, None),
    ("B. bear", BEARS, None),
    ("bears", BEARS, None),
    ("A bear and a fox", BEARS, None),
    ("It is not the bear, it is the fox", BEARS, "D"),
    ("3", DIGITS, "B"),
    ("3.", DIGITS, "B"),
    ("Three", DIGITS, "B"),
    ("There are 3 birds.", DIGITS, "B"),
    ("There are three birds.", DIGITS, "B"),
    ("Answer: 3", DIGITS, "B"),
    ("B. 3", DIGITS, "B"),
    ("B (3)", DIGITS, "B"),
    ("13", DIGITS, "D"),
    ("3.5", DIGITS, None),
    ("At second 2 there are 3 birds", DIGITS, None),
    ("A. 3", DIGITS, None),
    ("Option 3", DIGITS, None),  # the third option, or the one called 3?
    ("4", DIGITS, None),
    ("three", ("three", "four"), "A"),
    ("4", ("three", "four"), "B"),
    ("B", NAMES, "B"),  # a bare letter is a letter: that is what the prompt asks for
    ("B. A", NAMES, "B"),
    ("(B) A", NAMES, "B"),
    ("B. D", NAMES, None),
    ("A man crosses the street", PEOPLE, "A"),
    ("a man crosses the street.", PEOPLE, "A"),
    ("A. A man crosses the street", PEOPLE, "A"),
    ("B. A man crosses the street", PEOPLE, None),
    ("B. A man leaves", PEOPLE, "B"),
    ("B is taller than A", PEOPLE, "C"),
    ("Yes", YES_NO, "A"),
    ("No, nobody does.", YES_NO, "B"),
    ("Yes and no", YES_NO, None),
    ("I'm sorry, I cannot say, there is no video.", YES_NO, None),  # a refusal, not the option "No"
    ("I'm sorry, I cannot see it. (B)", YES_NO, "B"),
    ("C", YES_NO, None),
    ("same", ("same", "Same"), None),
    ("C#", ("D", "E", "F#", "C#"), "D"),  # a note, not the letter C under a heading
    ("The answer is C#.", ("D", "E", "F#", "C#"), "D"),
    ("## C", ("D", "E", "F#", "C#"), "C"),
    ("<think>left? no</think>Right", WAYS, "B"),
    ("\\boxed{Right}", WAYS, "B"),
    ("<answer>Right</answer>", WAYS, "B"),
    ("\u7269\u4f53\u5411\u5de6\u79fb\u52a8", ("\u5411\u5de6", "\u5411\u53f3"), "A"),  # "the thing moves left"
    ("Answer: B. Left\nAnswer: B", WAYS, None),  # the letter contradicts the text beside it, once
    ("I cannot see it.", ("I cannot see it", "It is red"), "A"),  # no refusal, but an option
    ("I", tuple("qrstuvwxyz"), "I"),
    ("J. z", tuple("qrstuvwxyz"), "J"),
]


@pytest.mark.parametrize("reply, options, letter", TEXT_REPLIES)
def test_reply_is_read_with_its_options_as(reply, options, letter):
    assert extract_answer(reply, options) == letter


@pytest.mark.parametrize("loop, letter", [("is B ", "B"), ("A, ", "A"), ("<answer>", None)])
def test_a_model_caught_in_a_loop_is_read_without_searching_to_the_end_from_every_place(loop, letter):
    assert extract_answer(loop * 30_000, WAYS) == letter  # minutes, if each place were


def test_the_prompt_is_the_template_then_lettered_options_then_the_instruction():
    question = Question("Which way {it} goes?", ("Left", "{0}"), "One {clip} was inserted. {question}")
    assert format_prompt(question) == (
        "One {clip} was inserted. Which way {it} goes?\nA. Left\nB. {0}\n" + INSTRUCTION
    )  # fmt: skip


def test_a_question_that_names_the_placeholder_is_put_once():
    assert format_prompt(Question("What is {question}?", ("x", "y"), "{question}")).startswith(
        "What is {question}?\nA. x"
    )


def case_and_record(reply: str | None, status: str = "ok") -> tuple[Case, Record]:
    case = Case(
        "c1", "s", 1, "full", "n", "src", "h", 2, (), (Span("h", 0, 2),), 1.0, "Which way?", WAYS, "B", "motion"
    )  # fmt: skip
    record = Record("c1", status, "m", reply, None, "generated", 0, (), 0, 0, None, "fake 1", (), 0, "", {})
    return case, record


def test_a_reply_with_the_right_letter_is_right():
    assert is_correct(*case_and_record("It goes right."))


@pytest.mark.parametrize("reply", ["A", "A or B", ""])
def test_wrong_and_unanswered_replies_are_not_right(reply):
    assert not is_correct(*case_and_record(reply))


def test_a_failed_record_has_no_score():
    with pytest.raises(ValueError, match="'oom' has no reply"):
        is_correct(*case_and_record(None, status="oom"))
