r"""Extract the letter of an option from a model's reply.

An ambiguous reply is unanswered (None): one that names two different letters, two option
texts, or a letter that contradicts the option text beside it. The table counts
unanswered replies as wrong, and also in a separate column.

The order of evidence, strongest first:

1. `\boxed{}` or `<answer>`: if there is one, only its content is read;
2. a reply that consists of one option's text;
3. declared letters ("the answer is B", "B is correct", "so B");
4. other letters in the position of an answer ("(B)", "B. ...", "option b");
5. option texts anywhere in prose.

A lone letter is always read as a letter, even if an option's text is a letter too,
because the prompt asks for a letter. Scores are never stored but recomputed from replies.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from niah.types import LETTERS


def extract_letter(reply: str, options: int) -> str | None:
    """Return the letter that a reply names among the first `options`; None if it names none, or several."""
    return _extract(reply, options, [])


def extract_answer(reply: str, options: Sequence[str]) -> str | None:
    """Return the letter of the option that a reply names by letter or text; None if it is unanswered."""
    return _extract(reply, len(options), [_normalize(option).strip() for option in options])


_MASK = "\ue000"  # replaces the characters of an option's text, so that no letter is read from it
_HIDDEN = r"(?:think(?:ing)?|thought|reasoning|reflection|scratchpad)"  # "<think>Is it A?</think>B"
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}", re.I)  # "\boxed{B}"
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.I | re.S)  # "<answer>B</answer>"
_CJK = "\u2e80-\u9fff\uac00-\ud7af"
_SIGNS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u3002": ".", "\u3001": ",", "\u3010": "[",
    "\u3011": "]", "\u300c": '"', "\u300d": '"', "\u2014": " - ", "\u2013": "-", "\u2212": "-", "\u25c1": "<",
    "\u25b7": ">", _MASK: " ",
    **{chr(first + i): f" {chr(65 + i)} " for first in (0x1F150, 0x1F170) for i in range(26)},  # white on black
})  # fmt: skip


def _normalize(text: str) -> str:
    """Remove hidden reasoning, markup and typographic variants from text."""
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    text = re.sub("[\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]", "", text)
    closed = max((found.end() for found in re.finditer(rf"(?i)</{_HIDDEN}>", text)), default=0)
    visible = re.sub(rf"(?is)<({_HIDDEN})>.*?</\1>", "\n", text[:closed])
    visible = re.split(rf"(?i)</{_HIDDEN}>", visible)[-1]  # the chat template may contain the opening tag
    text = visible + re.split(rf"(?i)<{_HIDDEN}>", text[closed:])[0]  # or the reply was cut off while thinking
    text = re.sub(r"<\|[^|<>]*\|>|</?s>", "\n", text)
    text = re.sub(r"</?(?:b|i|u|p|em|strong|code|span)>|<br ?/?>", " ", text)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf|mathit|mathsf|boldsymbol|rm)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$", " ", text)
    text = re.sub(r"(?<!\w)[*_`#]+|(?:[*_`]|(?<!\b[A-Ga-g])#)+(?!\w)", "", text)  # removes headings, keeps the note C#
    text = re.sub(rf"(?<=[{_CJK}])(?=[A-Za-z])|(?<=[A-Za-z])(?=[{_CJK}])", " ", text)
    # At most one blank between any two words, so the patterns below need no \s*, which could backtrack for ever.
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text))


# A letter on its own. "A" before a word is an article unless the word cannot follow one; "I" is a pronoun.
_AFTER_A = (
    "is isn't was would will should must can can't cannot could may might has does doesn't seems appears looks fits "
    "matches describes because since due as and or nor but not in on at for from to with by based given the this "
    "that it there here then so"
)
_BEFORE = r"(?<!\w)(?<!\w['-])(?<!\b[A-Za-z]\.)"
_ALONE = rf"(?!['-]?\w|\.[A-Za-z]\.|[+#])(?!{_MASK})"
_ARTICLE = rf"(?! (?!(?i:{_AFTER_A.replace(' ', '|')})\b)[\w{_MASK}])"
_UPPER = rf"{_BEFORE}(?:A{_ARTICLE}|I(?! [\w{_MASK}])|[B-HJ]){_ALONE}"
_EITHER = rf"(?:{_UPPER}|{_BEFORE}(?:[ai](?! [\w{_MASK}])|[b-hj]){_ALONE})"
_SHELL = r"(?:[\"'(\[{<]\s?)?"
_AND = (
    r"[\"')\]}>.]?(?:\s?[,/&|]\s?(?:(?:or|and|nor)\s)?|\s(?:or|and|nor)\s)"  # one way to match each blank: no blow-up
    rf"(?i:(?:option|choice) )?{_SHELL}"
)
_UPPERS = rf"(?P<letters>{_UPPER}(?:(?:{_AND}| ){_UPPER}){{0,9}})"  # "A, B or D" is one mention of three
_EITHERS = rf"(?P<letters>{_EITHER}(?:(?:{_AND}{_EITHER})|(?: {_UPPER})){{0,9}})"

_FILLER = (
    r"(?:[\s\"'(\[{<:=>-]|\b(?i:option|choice|letter|most|likely|probably|definitely|clearly|indeed|simply|the|is)\b)*"
)
_DECLARED = [
    # "The answer to this question is (B)", "Answer: B", "My choice would be B"
    r"(?i:\b(?:answer|option|choice|letter|response|selection|conclusion)\b)(?i: (?:to|for)\b[^.:;\n]{1,80}?)?"
    rf"[\"']?\s?(?:[:=]|->|(?i:\b(?:is|would be|should be|must be|will be|has to be)\b)){_FILLER}{_EITHERS}",
    rf"(?i:\banswer) {_SHELL}{_EITHERS}",  # "I answer B"
    # "Therefore, B", "so it is B", "I would choose option B", "I'll go with B"
    r"(?i:\b(?:therefore|thus|hence|so|finally|(?:choos|pick|select|go|opt|vot|lean)(?:e|ing|ed)?|went|chose|settl\w+)\b)"
    r"(?i: (?:with|for|on|towards?))?[,:]? (?i:it(?:'s| is| must be) )?(?i:the )?(?i:(?:option|choice|letter) )?"
    rf"{_SHELL}{_UPPERS}",
    # "(B) is correct", "B seems to be the best"
    rf"{_UPPERS}[\"')\]]* (?i:(?:is|seems|appears|looks|would be|must be|has to be) (?:\w+ ){{0,3}}?"
    r"(?:correct|right|best|answer|accurate|true)\b)",
    rf"(?:答案|选项|选择|选)\s?(?:[是为:]\s?)*{_SHELL}{_UPPERS}",  # "答案是B"
]
_NEUTRAL = [
    # "(b)", "[B]"
    r"(?<!\w)[(\[{<]\s?(?P<letters>[A-Ja-j])\s?[)\]}>]",
    # A line that opens with a letter: "B. A red ball", "B: the cat", "b"
    r"(?m:^)[\s>\"'•-]{0,8}(?P<letters>[A-Ja-j])(?=[).:](?![A-Za-z]\.)|[\s\"']{0,3}$|[ \"']?\n)",
    r"(?<![\w'])(?P<letters>[A-J])(?=\))",  # "I see B) a red ball"
    rf"(?i:\b(?:option|choice|letter)) {_SHELL}{_EITHERS}",  # "option b"
    # "It's B", "My guess: B", "both A and B", "probably B"
    r"(?:^|[\n,:;.!?>=-]|\b(?i:is|it's|that's|be|or|and|both|either|between|not|isn't|guess|say|think|believe|but|"
    rf"probably|definitely|likely|maybe|perhaps)\b)\s?{_UPPERS}",
]
# Where a new clause begins: "Not A, but B" denies A and names B.
_CLAUSE = re.compile(
    r"[.;:!?\n,]|\b(?:but|so|therefore|thus|hence|however|then|because|since)\b|\band\s+(?:the|it|this|that)\b", re.I
)
# "It is not B", "rather than B", "I can rule out B"; "The wrong answer is B"
_NEGATED_BEFORE = re.compile(
    r"(?:(?:\b(?:not|never|neither|nor|cannot|without|no way|rather than|instead of|except|unlike|"
    r"(?:eliminat|exclud|reject|dismiss)\w+|rul\w+ out)\b|n't\b)(?:\s+[\w'\"(\[]+){0,5}|"
    r"\b(?:wrong|incorrect|false)(?:\s+(?:answers?|options?|choices?|ones?))?(?:\s+(?:is|are|to say|to choose))?)"
    r"\s*[\"'(\[]*$",
    re.I,
)
# "B is wrong", "B is also incorrect", "B doesn't fit"
_NEGATED_AFTER = re.compile(
    r"[\"')\]]*\s+(?:(?:is|are|was|were|looks?|seems?)\s+(?:\w+ly\s+|also\s+|both\s+)*"
    r"(?:not|wrong|incorrect|false|out|unlikely|impossible|excluded|eliminated|ruled out)\b|"
    r"(?:isn't|aren't|wasn't|can't|cannot|doesn't|does not|do not|don't|can not)\b)",
    re.I,
)
# "I cannot see the video", "Sorry, ...", "There is not enough information"
_REFUSAL = re.compile(
    r"\b(?:I|I'm|we)\b[^.!?\n]{0,30}(?:cannot|can't|can not|could not|couldn't|unable|not able|(?:don't|do not) "
    r"(?:have|know|see))|sorry|cannot be (?:determined|answered)|(?:impossible|not possible) to|not enough information",
    re.I,
)
_EXPLAINS = re.compile(r"[.!?;:\n]|\b(?:because|since|as|given|while|although|whereas)\b", re.I)  # "B because ..."
_JOINS = re.compile(r"[\s\"',:=-]*[(\[]?(?:option |answer )?", re.I)  # "the cat (option B", a text before its letter
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


class _Mention(NamedTuple):
    """The options that a part of a reply names."""

    start: int
    stop: int
    named: tuple[int, ...]


def _extract(reply: str, count: int, options: Sequence[str]) -> str | None:
    """Return the letter of the one option that a reply names; without option texts, by letters only."""
    text = _normalize(reply)
    # Up to the last closing tag: beyond it, every opening tag would be searched for to the end of a long reply.
    closed = max((found.end() for found in re.finditer(r"(?i)</answer>", text)), default=0)
    marked = _BOXED.findall(text) + _TAGGED.findall(text[:closed])
    if marked:
        readings = {_option_index(part, count, options) for part in marked}
    else:
        readings = {_option_index(re.sub(r"(?i)</?answer>", " ", text), count, options)}
    found = readings.pop() if len(readings) == 1 else None
    return None if found is None or found >= count else LETTERS[found]


def _option_index(text: str, count: int, options: Sequence[str]) -> int | None:
    """Return the number of the option that normalized text names."""
    whole = _whole_reply(text, options)
    if whole is not None:
        return whole
    texts = _find_texts(text, options)
    hidden = _mask(text, texts, options)
    letters = _find_letters(hidden, _DECLARED) or _find_letters(hidden, _NEUTRAL)
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
    affirmed = {index for mention in texts if not _negated(text, mention) for index in mention.named}
    return affirmed.pop() if len(affirmed) == 1 else None


def _whole_reply(text: str, options: Sequence[str]) -> int | None:
    """Return the only option whose text is the whole reply, ignoring articles, case and final stops."""
    bare = _bare(text)
    if not bare or _is_letter(bare):
        return None
    same = [index for index, option in enumerate(options) if _bare(option) == bare]
    return same[0] if len(same) == 1 else None


def _bare(text: str) -> str:
    """Return text in the form in which two spellings of one option are equal."""
    words = " ".join(text.casefold().split()).strip(" .,;:!?\"'()[]")
    words = re.sub(r"^(?:a|an|the) (?=\S)", "", words)
    return str(_NUMBERS.index(words)) if words in _NUMBERS else words


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.upper() in LETTERS


def _pattern(option: str) -> str:
    """Return a pattern that finds an option's text in prose."""
    bare = _bare(option)
    if not bare or _is_letter(bare):
        return r"(?!)"
    body = r"\s+".join(re.escape(word) for word in bare.split())
    if bare.isdigit() and 1 < int(bare) < len(_NUMBERS):  # "one" is a pronoun too often
        body = f"(?:{body}|{_NUMBERS[int(bare)]})"
    first, last = (re.match(f"[{_CJK}]", character) for character in (bare[0], bare[-1]))
    before = "" if first else r"(?<!\w)(?<!\w\w[-'])(?<!\d[-.,:])"
    return before + body + ("" if last else r"(?!\w|[-']\w|[.,:]\d)")


def _find_texts(text: str, options: Sequence[str]) -> list[_Mention]:
    """Find the option texts in a reply, in order; "brown bear" is not also found as "bear"."""
    # Masked, not removed, to keep positions: "the right answer" is not the option "Right".
    searched = re.sub(r"(?i)\bright(?= (?:answer|option|choice|letter)\b)", _mask_match, text)
    searched = re.sub(r"(?i)\b(?:option|choice) \d+\b", _mask_match, searched)
    mentions = []
    for option in sorted({_bare(option): option for option in options}.values(), key=len, reverse=True):
        same = tuple(index for index, other in enumerate(options) if _bare(other) == _bare(option))
        pattern = re.compile(_pattern(option), re.I)
        mentions += [_Mention(found.start(), found.end(), same) for found in pattern.finditer(searched)]
        searched = pattern.sub(_mask_match, searched)
    return sorted(mentions)


def _mask_match(found: re.Match[str]) -> str:
    return _MASK * len(found.group())


def _mask(text: str, texts: Sequence[_Mention], options: Sequence[str]) -> str:
    """Mask option texts in the search for letters, also an option "A" that follows its letter ("B. A")."""
    spans = [(mention.start, mention.stop) for mention in texts]
    for letter, option in zip(LETTERS, options):
        if _is_letter(_bare(option)):
            echo = re.compile(rf"(?<!\w){letter}[).:]\)?\s*({re.escape(option)})(?!\w)")
            spans += [found.span(1) for found in echo.finditer(text)]
    characters = list(text)
    for start, stop in spans:
        characters[start:stop] = _MASK * (stop - start)
    return "".join(characters)


def _find_letters(text: str, patterns: Sequence[str]) -> list[_Mention]:
    """Find the letters that match any of the patterns and that the reply does not deny."""
    mentions = []
    for pattern in patterns:
        for found in re.finditer(pattern, text):
            start, stop = found.span("letters")
            letters = re.findall(rf"(?<![A-Za-z])[A-Ja-j](?![A-Za-z{_MASK}])", found.group("letters"))
            mention = _Mention(start, stop, tuple(LETTERS.index(letter.upper()) for letter in letters))
            if not _negated(text, mention):
                mentions.append(mention)
    return mentions


def _negated(text: str, mention: _Mention) -> bool:
    """Return True if the reply denies a mention: "not B", "B is wrong", "rather than B"."""
    clause = _CLAUSE.split(text[max(0, mention.start - 200) : mention.start])[-1]
    return bool(_NEGATED_BEFORE.search(clause) or _NEGATED_AFTER.match(text, mention.stop))


def _contradicts(
    text: str, letter: _Mention, texts: Sequence[_Mention], ends: Sequence[int], options: Sequence[str]
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
    named = {index for mention in beside if not _negated(text, mention) for index in mention.named}
    lone = re.compile(r"[).:]\s*([A-Za-z])[.\s]*").fullmatch(text, letter.stop)  # "B. A", if option texts are letters
    if lone:
        named.update(index for index, option in enumerate(options) if option == lone.group(1))
    return bool(named) and letter.named[0] not in named
