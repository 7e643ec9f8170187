r"""Extract the letter of an option from a model's reply.

An ambiguous reply is unanswered (None): one that names two different letters, two option
texts, or a letter that contradicts the option text beside it. A wrong letter would be worse
than none. The table counts unanswered replies as wrong, and also in a separate column.

Only what is visible is read (`visible_text`): no thoughts, no later turns. Then, strongest first:

1. JSON with a key for the answer: only its value is read;
2. `\boxed{}` or `<answer>`: only their contents are read, unless they are of something else;
3. a reply that consists of one option's text;
4. declared letters ("the answer is B", "B is correct", "so B", "la respuesta es B");
5. other letters in the position of an answer ("(B)", "B. ...", "option b");
6. option texts anywhere in prose.

A lone letter is always read as a letter, even if an option's text is a letter too,
because the prompt asks for a letter. Scores are never stored but recomputed from replies.
"""

from __future__ import annotations

import bisect
import re
from typing import Optional, Sequence, Set

from niah.scoring.letters import Mention, find_letters, is_negated
from niah.scoring.structured import json_parts, marked_parts, without_marks
from niah.scoring.texts import find_texts, mask_texts, whole_reply
from niah.scoring.visible import normalize_characters, normalize_text, visible_text
from niah.types import LETTERS

CUT_SHORT = "length"  # the `finish_reason` of a reply that ended at the token limit


def extract_letter(reply: str, options: int) -> Optional[str]:
    """Return the letter that a reply names among the first `options`; None if it names none, or several."""
    return _extract(visible_text(reply), options, [], cut_short=False)


def extract_answer(
    reply: str, options: Sequence[str], in_thought: bool = False, cut_short: bool = False
) -> Optional[str]:
    """Return the letter of the option that a reply names by letter or text; None if it is unanswered.

    Args:
        reply: What the model said.
        options: The texts of the options, in the order of their letters.
        in_thought: Whether the prompt ended inside a thought; a reply that never closes it is unanswered.
        cut_short: Whether the reply ended at the token limit. What it weighs last ("Option A shows") is no answer
            then: only declared letters count, and what the reply opens with.
    """
    texts = [normalize_text(normalize_characters(option)).strip() for option in options]
    return _extract(visible_text(reply, in_thought), len(options), texts, cut_short)


# "I cannot see the video", "Sorry, ...", "There is not enough information"
_REFUSAL = re.compile(
    r"\b(?:I|I'm|we)\b[^.!?\n]{0,30}(?:cannot|can't|can not|could not|couldn't|unable|not able|(?:don't|do not) "
    r"(?:have|know|see))|sorry|cannot be (?:determined|answered)|(?:impossible|not possible) to|not enough information",
    re.I,
)
_EXPLAINS = re.compile(r"[.!?;:\n]|\b(?:because|since|as|given|while|although|whereas)\b", re.I)  # "B because ..."
_JOINS = re.compile(r"[\s\"',:=-]*[(\[]?(?:option |answer )?", re.I)  # "the cat (option B", a text before its letter
_LETTER_ALONE = re.compile(r"[\s\"'(\[]*(?:option |answer )?[\"'(\[]*[A-Za-z][\s\"')\].:]*", re.I)


def _extract(text: str, count: int, options: Sequence[str], cut_short: bool) -> Optional[str]:
    """Return the letter of the one option that visible text names; without option texts, by letters only."""
    values, rest = json_parts(text)
    if values:
        return _in_common({_option_index(_plain(value), options) for value in values}, count)
    readings = {_option_index(_plain(part), options) for part in marked_parts(rest) if _is_answer(part, options)}
    if not readings:
        readings = {_option_index(without_marks(rest), options, cut_short)}
    return _in_common(readings, count)


def _in_common(readings: Set[Optional[int]], count: int) -> Optional[str]:
    """Return the letter that all parts of a reply name."""
    found = readings.pop() if len(readings) == 1 else None
    return None if found is None or found >= count else LETTERS[found]


def _plain(part: str) -> str:
    """Return the content of a part within a part."""
    return " ".join(marked_parts(part)) or part


def _is_answer(part: str, options: Sequence[str]) -> bool:
    r"""Return True if the content of a box speaks of options; "\boxed{v > 0}" is a step of the reasoning."""
    part = _plain(part)
    return bool(_LETTER_ALONE.fullmatch(part) or find_texts(part, options) or find_letters(part)) or bool(
        re.search(r"[^\W\d_]{2,} [^\W\d_]{2,}", part)  # words
    )


def _option_index(text: str, options: Sequence[str], cut_short: bool = False) -> Optional[int]:
    """Return the number of the option that text names; of a text that was cut short, the one it opens with."""
    whole = whole_reply(text, options)
    if whole is not None:
        return whole
    texts = find_texts(text, options)
    letters = find_letters(mask_texts(text, texts, options), cut_short)
    if letters:
        named = {index for mention in letters for index in mention.named}
        if len(named) > 1:
            return None
        ends = [found.start() for found in _EXPLAINS.finditer(text)]  # found once, or a reply that loops takes minutes
        if any(_contradicts(text, mention, texts, ends, options) for mention in letters):
            return None
        return named.pop()
    if _REFUSAL.search(text):
        return None  # "I cannot see the video" names no option "I" or "video"
    if cut_short:
        texts = [mention for mention in texts if re.fullmatch(r"(?i)\W*(?:(?:an?|the)\W+)?", text[: mention.start])]
    affirmed = {index for mention in texts if not is_negated(text, mention) for index in mention.named}
    return affirmed.pop() if len(affirmed) == 1 else None


def _contradicts(
    text: str, letter: Mention, texts: Sequence[Mention], ends: Sequence[int], options: Sequence[str]
) -> bool:
    """Return True if the text beside a letter, up to the next of `ends`, where clauses end, is another option's."""
    after = re.compile(r"[\s\"')\]}>.:,-]*").match(text, letter.stop)
    start = after.end() if after else letter.stop
    end = bisect.bisect_left(ends, start)
    first = bisect.bisect_left(texts, (start,))
    last = bisect.bisect_left(texts, (ends[end] if end < len(ends) else len(text),))
    beside = list(texts[first:last])
    before = bisect.bisect_left(texts, (letter.start,)) - 1
    if before >= 0 and _JOINS.fullmatch(text, texts[before].stop, letter.start):
        beside.append(texts[before])
    named = {index for mention in beside if not is_negated(text, mention) for index in mention.named}
    lone = re.compile(r"[).:]\s*([A-Za-z])[.\s]*").fullmatch(text, letter.stop)  # "B. A", if option texts are letters
    if lone:
        named.update(index for index, option in enumerate(options) if option == lone.group(1))
    return bool(named) and letter.named[0] not in named
