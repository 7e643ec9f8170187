"""Find the letters with which a reply names options: declared ("the answer is B"), or where an answer stands ("(B)").

Text comes from `visible_text`, with the option texts masked. Denied letters ("not B", "B is wrong") are no mentions.
"""

from __future__ import annotations

import functools
import re
from typing import List, NamedTuple, Sequence, Tuple

from niah.scoring import languages as other
from niah.scoring.visible import MASK
from niah.types import LETTERS


class Mention(NamedTuple):
    """The options that a part of a reply names."""

    start: int
    stop: int
    named: Tuple[int, ...]


# A letter alone. "A" before a word is an article unless the word cannot follow one; "I" is a pronoun, "E" is "and".
_AFTER_A = (
    "is isn't are was wasn't were would will should must can can't cannot could may might has does doesn't seems "
    "appears looks fits matches describes because since due as and or nor but not in on at for from to with by based "
    "given the this that it there here then so rather instead"
)
_BEFORE = r"(?<!\w)(?<!\w['-])(?<!\b[A-Za-z]\.)"
_ALONE = rf"(?!-?\w|'(?!d[iıuü]r)\w|\.[A-Za-z]\.|[+#])(?!{MASK})"
_NO_ARTICLE = rf"(?i:{_AFTER_A.replace(' ', '|')}|{other.BE}|{other.NOT})\b|{other.OR} \W?[A-J]\b"
_ARTICLE = rf"(?! (?!{_NO_ARTICLE})[^\W\u0590-\uffff])(?! ?{MASK})"
_UPPER = rf"{_BEFORE}(?:[AE]{_ARTICLE}|I(?! [\w{MASK}])|[B-DF-HJ]){_ALONE}"
_EITHER = rf"(?:{_UPPER}|{_BEFORE}(?:[ai](?! [\w{MASK}])|[b-hj]){_ALONE})"
_SHELL = r"(?:[\"'(\[{<]\s?)?"
_OPTION = r"(?:(?i:option|choice|answer|letter) )?"
_AND = (
    rf"[\"')\]}}>.]?(?:\s?[,/&|]\s?(?:(?:or|and|nor|{other.OR})\s)?|\s(?:or|and|nor|{other.OR})\s|\s?[?]\s?)"
    rf"{_OPTION}{_SHELL}"
)
_UPPERS = rf"(?P<letters>{_UPPER}(?:(?:{_AND}| ){_UPPER}){{0,9}})"  # "A, B or D" is one mention of three
_EITHERS = rf"(?P<letters>{_EITHER}(?:(?:{_AND}{_EITHER})|(?: {_UPPER})){{0,9}})"

_FILLER = (
    r"(?:[\s\"'(\[{<:=>-]|\b(?i:option|choice|letter|most|likely|probably|definitely|clearly|indeed|simply|the|is)\b)*"
)
_BETWEEN = r"(?: (?![A-J][\s.,;:!?)]|[(\[])[^\s.,:;!?()\[\]\n]{1,20}){0,4}?"  # words from a noun to its letter
_FOREIGN = rf"(?i:(?<!\w){other.NOUN})[\u0590-\u1dff]{{0,20}}{_BETWEEN}\s?(?:[:=]|->|- )?\s?{_SHELL}{_UPPERS}"
_POSITIVE = "(?:yes|true|correct|right|[✓✔✅☑]|正确|正確|对|對|正しい|맞음|sí|oui|ja|sì|sim|да)"
_NEGATIVE = "(?:no|false|incorrect|wrong|not (?:shown|correct|right|seen|mentioned)|[✗✘❌✖❎🚫]|nein|non|não|нет)"
_VERDICT_SIGN = r"[\"')\]}>]{0,2}\s?(?:[:=-]{1,2}|->|[.)]|\bis|\bare)?[\"'\s]{0,2}"
DECLARED = [
    # "The answer to this question is (B)", "Answer: B", "My choice would be B"
    r"(?i:\b(?:answer|option|choice|letter|response|selection|conclusion|prediction)\b)"
    rf"(?i: (?:to|for)\b[^.:;\n]{{1,80}}?)?"
    rf"[\"']?\s?(?:[:=]|->|(?i:\b(?:is|would be|should be|must be|will be|has to be)\b)){_FILLER}{_EITHERS}",
    rf"(?i:\banswer) {_SHELL}{_EITHERS}",  # "I answer B"
    rf"(?i:(?<![A-Za-z])(?:answer|finish|submit))\s?[(\[][\"']?{_EITHERS}",  # 'final_answer("B")', "Finish[B]"
    # "Therefore, B", "so it is B", "I would choose option B", "I'll go with B"
    r"(?i:\b(?:therefore|thus|hence|so|finally|(?:choos|pick|select|go|opt|vot|lean)(?:e|ing|ed)?|went|chose|settl\w+)\b)"
    r"(?i: (?:with|for|on|towards?))?[,:]? (?i:it(?:'s| is| must be) )?(?i:the )?(?i:(?:answer|option|choice|letter) )?"
    rf"(?i:(?:is|must be) )?{_SHELL}{_UPPERS}",
    # "(B) is correct", "B seems to be the best"
    rf"{_UPPERS}[\"')\]]* (?i:(?:is|seems|appears|looks|would be|must be|has to be) (?:\w+ ){{0,3}}?"
    r"(?:correct|right|best|answer|accurate|true)\b)",
    rf"(?im:^|[\n,;.{{✗✘❌✖❎]\s?|\b(?:option|false|no|incorrect|wrong) )"
    rf"[\"'(\[]?{_UPPERS}{_VERDICT_SIGN}(?i:{_POSITIVE})(?=\s?(?:[.,;:!\n)}}\"'(]|$|- ))",
    rf"(?m:^)\s?(?:[✅✔✓☑👉➡🎯]\s?)+{_SHELL}{_UPPERS}",  # "✅ B"
    rf"{_UPPERS}[\"')\]]*(?: -)? (?:{other.BE} )?"
    rf"(?:(?:la|le|die|het|den|de|a|o|η|il|ta|wa|the) )?(?i:{other.RIGHT})(?!\w)",
    _FOREIGN,
    rf"{other.CJK_NOUN}(?!{other.CJK_NOT}){other.CJK_BETWEEN}\s?[:=]?\s?{_SHELL}{_UPPERS}",  # "答案是B"
    rf"{_UPPERS}[\"')\]]*\s?{other.CJK_RIGHT}",  # "B选项正确"
    rf"{other.CJK_BUT}\s?{_SHELL}{_UPPERS}",  # "不是A,而是B"
]
NEUTRAL = [
    # "(b)", "[B]"
    r"(?<!\w)[(\[{<]\s?(?P<letters>[A-Ja-j])\s?[)\]}>]",
    # A line that opens with a letter: "B. A red ball", "B: the cat", "b"
    r"(?m:^)(?:[\s>\"'•-]|\d{1,2}[.)] ){0,8}(?P<letters>[A-Ja-j])(?=[).:](?![A-Za-z]\.)|[\s\"']{0,3}$|[ \"']?\n)",
    r"(?<![\w'])(?P<letters>[A-J])(?=\))",  # "I see B) a red ball"
    rf"(?i:\b(?:option|choice|letter)) {_SHELL}{_EITHERS}",  # "option b"
    rf"(?i:\b(?:correspond(?:s|ing)? to|match(?:es|ing)?|points to)) (?i:the )?{_OPTION}{_SHELL}{_UPPERS}",
    # "It's B", "My guess: B", "both A and B", "probably B"
    r"(?:^|[\n,:;.!?>=-]|\b(?i:is|it's|that's|be|both|either|between|not|isn't|guess|say|think|believe|but|"
    rf"probably|definitely|likely|maybe|perhaps|leaves|leaving|{other.IT_IS}|{other.BUT})\b|"
    rf"(?<!\b[A-J] )\b(?i:or|and)\b)\s?{_SHELL}{_UPPERS}",
    rf"(?:^|\n){_SHELL}{_UPPERS}\s?(?:です|입니다|번|项|項|选项|選項)",
]
# A last sentence that says which one: "The first shown is (A)."
_CONCLUSION = (
    r"(?:^|[.!?\n] ?)(?i:so,? |thus,? |hence,? )?(?i:the )"
    r"(?![^.!?\n]{0,90}\b(?i:not|wrong|other|incorrect|decoy|distractors?)\b)"
    r"[^.!?\n]{1,90}? (?:is|was) \((?P<letters>[A-J])\)[.!]?\s*$"
)
# Candidates, not answers: "between A and B, ...", "both A and B appear, but ..."
_PAIR = rf"{_OPTION}[\"'(\[]?(?:[A-J])[\"')\]]? and {_OPTION}[\"'(\[]?(?:[A-J])(?!\w)[\"')\]]?"
_CANDIDATES = re.compile(
    rf"\b(?i:between) {_PAIR}|"
    rf"\b(?i:both) (?P<both>{_PAIR})(?= (?i:appear|are (?:shown|seen|visible)|occur|happen|exist|show)"
    r"[^.!?\n]*\b(?i:but|yet|however)\b)"
)
_BUT_ENDS = r"\b(?i:but|yet|however)\b[^.;:!?\n]{1,80}? (?P<letters>[A-J])[.!]?\s*$"

# Where a new clause begins: "Not A, but B" denies A and names B.
_CLAUSE = re.compile(
    rf"[.;:!?\n,]|\b(?:but|so|therefore|thus|hence|however|then|because|since|{other.BUT})\b|"
    r"\band\s+(?:the|it|this|that)\b|而是|而应",
    re.I,
)
# "It is not B", "rather than B", "I can rule out B"; "The wrong answer is B"
_NEGATED_BEFORE = re.compile(
    r"(?:(?:\b(?:not|never|neither|nor|cannot|without|no way|rather than|instead of|except|unlike|"
    r"(?:eliminat|exclud|reject|dismiss|discard)\w*|rul\w+ out)\b|n't\b)(?:\s+[\w'\"(\[]+){0,5}|"
    r"\b(?:wrong|incorrect|false)(?:\s+(?:answers?|options?|choices?|ones?))?(?:\s+(?:is|are|to say|to choose))?|"
    rf"(?<!\w){other.NOT}(?:\s+(?!\bdoubt)[^\s]+){{0,5}}|{other.CJK_NOT}{other.CJK_BETWEEN}|"
    rf"(?:错误|錯誤|間違)[^,.]{{0,6}}[是は:]|"
    r"^\s*[✗✘❌✖❎🚫])\s*:?\s*[\"'(\[]*$",
    re.I,
)
# "Eliminated: (A), (C), (D).", "I rule out A, B and C"
_NEGATED_LIST = re.compile(
    r"\b(?:(?:eliminat|exclud|reject|dismiss|discard|wrong|incorrect|ruled out|false)\w*"
    r"(?: (?:options|answers|choices))?\s?:|"
    r"(?:rul\w+ out|(?:eliminat|exclud|reject|dismiss|discard)\w*)(?: options)? )"
    r"(?:[\s\"'(\[]{0,3}[A-J][\"')\]]{0,2}\s?(?:,|and|or|&|/){0,2})*[\s\"'(\[]{0,3}$",
    re.I,
)
# "B is wrong", "B is also incorrect", "B doesn't fit", "B: No"
_NEGATED_AFTER = re.compile(
    r"[\"')\]]*\s+(?:(?:is|are|was|were|looks?|seems?)\s+(?:\w+ly\s+|also\s+|both\s+)*"
    r"(?:not|wrong|incorrect|false|out|unlikely|impossible|excluded|eliminated|ruled out)\b|"
    r"(?:isn't|aren't|wasn't|can't|cannot|doesn't|does not|do not|don't|can not)\b|"
    rf"(?:(?:{other.BE}) )?{other.NOT}(?!\w)|"
    r"(?:(?:is|are|was|were) )?(?:shown|seen|visible|mentioned|present|appears?|happens?|occurs?)\b[^.!?\n]{0,60}"
    r"\b(?:but|yet|however|though)\b)|"  # it was there, but was not asked about
    rf"[\"')\]]*\s?(?:[:=-]{{1,2}}|->)[\"'\s]{{0,2}}{_NEGATIVE}(?=\s?(?:[.,;!\n)}}\"'(]|$|- ))|"
    rf"[\"')\]]*[.)]? ?{_NEGATIVE}(?= ?(?:[.;\n}}(]|$))|[\"')\].]* ?[✗✘❌✖❎🚫]|"
    rf"[\"')\]]*\s?{other.CJK_AFTER_NOT}|"
    r"[\"')\]]*\s?\?\s?no\b",
    re.I,
)


def find_letters(text: str, cut_short: bool = False) -> List[Mention]:
    """Return the letters that a reply declares; where it declares none, those in the position of an answer.

    Of a reply that was `cut_short` the latter count only if the reply opens with one.
    """
    both = [found.group("both") or "" for found in _CANDIDATES.finditer(text)]
    text = _CANDIDATES.sub(lambda found: MASK * len(found.group()), text)
    if not re.search(r"(?i)\b(?:wrong|incorrect)\b", text):  # a list of options, not of verdicts: "A. left\nB. right"
        text = re.sub(r"(?i)(?<=[A-J][.)] )right\b", MASK * 5, text)
    declared = _find(text, DECLARED) or _find(text, [_CONCLUSION])
    if not declared and any(both):
        declared = [one for one in _find(text, [_BUT_ENDS]) if LETTERS[one.named[0]] in "".join(both)]
    if declared:
        return declared
    neutral = sorted(_find(text, NEUTRAL))
    return [] if cut_short and neutral and re.search(r"\w", text[: neutral[0].start]) else neutral


def is_negated(text: str, mention: Mention) -> bool:
    """Return True if the reply denies a mention: "not B", "B is wrong", "rather than B"."""
    return _denied(text[max(0, mention.start - 200) : mention.start], text[mention.stop : mention.stop + 80])


@functools.lru_cache(maxsize=4096)  # a reply that loops has thousands of mentions with the same words around them
def _denied(before: str, after: str) -> bool:
    clause = _CLAUSE.split(before)[-1]
    return bool(_NEGATED_BEFORE.search(clause) or _NEGATED_LIST.search(before) or _NEGATED_AFTER.match(after))


def _find(text: str, patterns: Sequence[str]) -> List[Mention]:
    """Find the letters that match any of the patterns and that the reply does not deny."""
    mentions = []
    for pattern in patterns:
        for found in re.finditer(pattern, text):
            start, stop = found.span("letters")
            letters = re.findall(rf"(?<![^\W_])[A-Ja-j](?![^\W_]|{MASK})", found.group("letters"))
            mention = Mention(start, stop, tuple(LETTERS.index(letter.upper()) for letter in letters))
            if not is_negated(text, mention):
                mentions.append(mention)
    return mentions
