"""Make replies whose letter is known by construction, as models of many kinds word them.

A reply is an answer (a letter, a declaration, a verdict on each option, JSON, a box, another language, an option's text)
between what may surround one (a closed thought, an analysis that names other options, an explanation, the next turn
of the chat). Some name no option: two letters, a refusal, a thought that never closed. The grammar was written from
what models say, before the parser that it is tried on, and shares no code with it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = "ABCDEF"
OPTION_SETS = (
    ("A ball", "A stick", "A frisbee", "A bird"),
    ("Red", "Blue", "Green", "Yellow", "Black", "White"),
    ("2", "3", "5", "7"),
    ("He opens the door", "He sits down", "He leaves the room", "He picks up the phone"),
    ("To the left", "To the right", "Upwards"),
    ("A man in a hat", "A woman with a dog", "Two children", "Nobody", "An old man"),
    ("The kitchen", "The garden", "The garage", "The street"),
)


@dataclass(frozen=True)
class Slots:
    """What a pattern is filled with: the right letter, its option's text, and two wrong letters with one text."""

    letter: str
    text: str
    other: str
    third: str
    other_text: str


BARE = (
    "{X}", "{X}.", "({X})", "[{X}]", "({x})", "{X})", "{x})", "**{X}**", "`{X}`", "\"{X}\"", "{X}\n", "  {X}", "{X}:",
    "{X}. {t}", "{X}) {t}", "({X}) {t}", "{X}: {t}", "{X} - {t}", "**{X}. {t}**", "**({X})** {t}", "Option {X}: {t}",
    "Option {X}", "Choice {X}.", "({X}).", "> {X}", "- {X}", "1. {X}", "$\\text{{{X}}}$", "<b>{X}</b>", "_{X}_",
    "{t}", "{t}.", "**{t}**", "{t} ({X})",
)  # fmt: skip
DECLARED = (
    "The answer is {X}.", "The correct answer is ({X}).", "The correct option is {X}", "The best answer is {X}: {t}.",
    "Answer: {X}", "ANSWER: {X}", "**Answer:** {X}", "Answer: **{X}**", "Final answer: {X}", "Final Answer: ({X})",
    "### Final answer\n{X}", "My answer is {X}.", "I would choose {X}.", "I choose option {X}.", "I'll go with {X}.",
    "I pick {X}", "I select ({X}).", "Therefore, {X}.", "Therefore, the answer is {X}.", "So the answer is ({X}).",
    "Thus, the correct choice is {X}.", "Hence {X} is correct.", "{X} is correct.", "{X} is the correct answer.",
    "({X}) is the right option.", "Option {X} is correct.", "The answer must be {X}.", "The right choice is option {X}.",
    "The answer to the question is {X}.", "It is {X}.", "It's ({X}).", "I think it is {X}.", "I believe the answer is {X}.",
    "Most likely {X}", "Probably {X}.", "This matches option {X}.", "This corresponds to option {X}.",
    "The video shows this clearly, so the answer is {X}.", "Based on the video, the correct answer is **{X}. {t}**",
    "Correct answer: {X}) {t}", "Selected option: {X}", "My choice: {X}",
)  # fmt: skip
DENYING = (
    "It is not {Y}; it is {X}.", "Not {Y}, but {X}.", "{Y} is wrong, so {X}.", "{Y} is incorrect. The answer is {X}.",
    "{Y} and {Z} are wrong. The answer is {X}.", "I can rule out {Y} and {Z}. The answer is {X}.",
    "The answer is {X}, not {Y}.", "{X} is correct; {Y} is not.", "It cannot be {Y}, so it must be {X}.",
    "The correct answer is not {Y} but {X}.", "{X}, because {Y} never happens.", "Between {Y} and {X}, I choose {X}.",
    "The answer is {X} rather than {Y}.", "Option {Y} does not fit. Option {Z} does not fit. Option {X} is correct.",
    "Answer: {X}. Option {Y} is not shown.", "Neither {Y} nor {Z}. The answer is {X}.",
    "Although {Y} is shown, the answer is {X}.", "At first I thought of {Y}, but the correct answer is {X}.",
)  # fmt: skip
BOXES = (
    "\\boxed{{{X}}}", "$\\boxed{{{X}}}$", "\\boxed{{\\text{{{X}}}}}", "The final answer is $\\boxed{{{X}}}$.",
    "<answer>{X}</answer>", "<answer>\n{X}\n</answer>", "<answer>({X}) {t}</answer>", "<answer>{t}</answer>",
    "It may look like {Y}. <answer>{X}</answer>", "{Y} is wrong. \\boxed{{{X}}}", "<|begin_of_box|>{X}<|end_of_box|>",
    "So $x \\in \\boxed{{v > 0}}$ holds. The answer is {X}.",
)  # fmt: skip
JSON = (
    '{{"answer": "{X}"}}', '{{"answer":"{X}"}}', '```json\n{{"answer": "{X}"}}\n```', '{{"final_answer": "{X}"}}',
    '{{"finalAnswer": "{X}"}}', '{{"choice": "{X}", "confidence": 0.9}}', '{{"answer": "{X}. {t}"}}',
    '{{"reasoning": "It could be {Y}, but it is not.", "answer": "{X}"}}', "{{'answer': '{X}'}}",
    '{{"correct_answer": "{X}", "explanation": "{Y} is never shown."}}', '{{"selected_option": "{X}"}}',
    '{{"explanation": "Option {Y} is out, and option {Z} too.", "correctOption": "{X}"}}',
    '{{"thought": "({Y})?", "final answer": "{X}"}}',
)  # fmt: skip
LANGUAGES = (
    "La respuesta correcta es {X}.", "La respuesta es la {X}", "Respuesta: {X}", "La bonne réponse est {X}.",
    "La réponse est la lettre {X}.", "Réponse : {X}", "Die Antwort ist {X}.", "Die richtige Antwort lautet {X}.",
    "Antwort: {X}", "La risposta è {X}.", "La risposta corretta è la {X}.", "A resposta é {X}.",
    "A resposta correta é a letra {X}.", "Resposta: {X}", "Het juiste antwoord is {X}.", "Antwoord: {X}",
    "Svaret är {X}.", "Svaret er {X}.", "Vastaus on {X}.", "Odpowiedź: {X}", "Prawidłowa odpowiedź to {X}.",
    "Správná odpověď je {X}.", "A helyes válasz: {X}", "Răspunsul corect este {X}.", "Doğru cevap: {X}", "Cevap {X}.",
    "Đáp án đúng là {X}.", "Jawaban yang benar adalah {X}.", "Jawapan: {X}", "Правильный ответ: {X}.", "Ответ: {X}",
    "Правильна відповідь: {X}.", "Η σωστή απάντηση είναι {X}.", "答案是{X}。", "正确答案是{X}", "答案：{X}", "选{X}",
    "答案為{X}", "正解は{X}です。", "答えは{X}です。", "正解：{X}", "정답은 {X}입니다.", "정답: {X}", "सही उत्तर {X} है।",
    "उत्तर: {X}", "সঠিক উত্তর {X}", "الإجابة الصحيحة هي {X}.", "الإجابة: {X}", "התשובה הנכונה היא {X}.", "پاسخ: {X}",
    "คำตอบคือ {X}", "Jibu sahihi ni {X}.", "Ang tamang sagot ay {X}.",
)  # fmt: skip
GLYPHS = {  # other ways to write a letter; the last two are of other scripts
    "A": "Ａ🄰🅰Ⓐ𝐀🇦АΑ", "B": "Ｂ🄱🅱Ⓑ𝐁🇧ВΒ", "C": "Ｃ🄲🅲Ⓒ𝐂🇨С", "E": "Ｅ🄴🅴Ⓔ𝐄🇪ЕΕ", "D": "Ｄ🄳🅳Ⓓ𝐃🇩", "F": "Ｆ🄵🅵Ⓕ𝐅🇫",
}  # fmt: skip
VERDICTS = (("Yes", "No"), ("True", "False"), ("correct", "incorrect"), ("✓", "✗"), ("✅", "❌"), ("right", "wrong"))
VERDICT_LINES = ("{L}: {v}", "{L}. {v}", "({L}) {v}", "Option {L}: {v}", "{L} - {v}")
THOUGHTS = (
    "Let me see. Is it {Y}? The dog runs away at 0:12.", "The answer is {Y}? Wait. No.", "{Y} or {Z}, hmm.",
    "({Y}) looks right at first.", "Answer: {Y}", "\\boxed{{{Y}}}", "I see {u}.", "",
    "I have to write <answer>{Y}</answer> at the end.",
)  # fmt: skip
MARKERS = (
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<reasoning>", "</reasoning>"), ("<seed:think>", "</seed:think>"), ("<analysis>", "</analysis>"),
    ("<rationale>", "</rationale>"), ("◁think▷", "◁/think▷"), ("", "</think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysis", "assistantfinal"),
)  # fmt: skip
BEFORE = (
    "At 0:10 the man appears. ", "The video shows a park.\n\n", "Sure! ", "Let me check the options.\n",
    "{Y} is shown at the start, but it is not what was asked. ", "Assistant: ", "ASSISTANT: ",
)  # fmt: skip
AFTER = (
    "<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "\n\n", "\n\nExplanation: this is seen at 0:12.",
    "\n\nOption {Y} is incorrect.", "\nHuman: And which one is {Y}?\nAssistant: {Y}", "\n\nUser: Is it {Y}?",
    "\n### Human: What about {Y}?", "<|im_end|>\n<|im_start|>user\n{Y}?", "\n\nQuestion: What is next?\nAnswer: {Y}",
)  # fmt: skip
NONE_OF_THEM = (
    "{X} or {Y}", "Either {X} or {Y}.", "The answer is {X} or {Y}.", "Both {X} and {Y} are correct.", "{X}, {Y}",
    "I'm sorry, I cannot watch the video.", "I do not know.", "There is not enough information to answer.", "",
    "The answer is J.", "It is not {X}.", "{X} is wrong.", "Answer: {X}. No, wait. Answer: {Y}.", "{X}. {u}",
    "Neither {X} nor {Y}.", "\\boxed{{{X}}} or \\boxed{{{Y}}}", '{{"answer": "{X} or {Y}"}}', "None of the options.",
    "La respuesta no es {X}.", "答案不是{X}", "Die Antwort ist nicht {X}.", "{X}: Yes\n{Y}: Yes", '{{"reasoning": "({X})',
    "The man walks from {X} to {Y}.", "Vitamin C is good.", "Could you upload the video?",
)  # fmt: skip


def variation(number: int) -> tuple[str, tuple[str, ...], str | None]:
    """Return a reply, the options it was asked with, and the letter it names; None where it names none."""
    rng = random.Random(f"reply grammar/{number}")
    options = rng.choice(OPTION_SETS)
    right, other, third = rng.sample(range(len(options)), 3)
    slots = Slots(LETTERS[right], options[right], LETTERS[other], LETTERS[third], options[other])
    if rng.random() < 0.2:
        return _filled(rng.choice(NONE_OF_THEM), slots), options, None
    if rng.random() < 0.08:
        return _unclosed(rng, slots), options, None
    return _surrounded(rng, _answer(rng, slots, len(options)), slots), options, slots.letter


def _answer(rng: random.Random, slots: Slots, count: int) -> str:
    """Return words that name the right letter and nothing else as the answer."""
    kind = rng.choice(("bare", "declared", "denying", "box", "json", "language", "glyph", "verdicts"))
    if kind == "glyph":
        glyph = rng.choice(GLYPHS[slots.letter])
        return rng.choice(("{}", "{}.", "\u2067{}\u2069", "\u00ad{}", "Answer: {}", "({})")).format(glyph)
    if kind == "verdicts":
        yes, no = rng.choice(VERDICTS)
        line = rng.choice(VERDICT_LINES)
        lines = [line.format(L=one, v=yes if one == slots.letter else no) for one in LETTERS[:count]]
        return "\n".join(lines)
    patterns = {"bare": BARE, "declared": DECLARED, "denying": DENYING, "box": BOXES, "json": JSON}
    return _filled(rng.choice(patterns.get(kind, LANGUAGES)), slots)


def _surrounded(rng: random.Random, answer: str, slots: Slots) -> str:
    """Return an answer with what may stand before and behind it."""
    reply = answer
    if rng.random() < 0.15:
        reply = _filled(rng.choice(BEFORE), slots) + ("\n" if "\n" in reply else "") + reply
    if rng.random() < 0.3:
        reply += _filled(rng.choice(AFTER), slots)
    if rng.random() < 0.3:
        opened, closed = rng.choice(MARKERS)
        reply = f"{opened}{_filled(rng.choice(THOUGHTS), slots)}{closed}{rng.choice(('', chr(10), chr(10) * 2))}{reply}"
    return reply


def _unclosed(rng: random.Random, slots: Slots) -> str:
    """Return a thought that ends before it is closed, after whatever it may have said."""
    opened = rng.choice([opened for opened, _ in MARKERS if opened and opened != "analysis"])
    says = [_filled(one, slots) for one in (rng.choice(THOUGHTS), rng.choice(DECLARED), rng.choice(THOUGHTS))]
    return f"{opened}{' '.join(says)} So let me look"


def _filled(pattern: str, slots: Slots) -> str:
    return pattern.format(
        X=slots.letter, x=slots.letter.lower(), t=slots.text, Y=slots.other, Z=slots.third, u=slots.other_text
    )
