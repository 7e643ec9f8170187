"""Find the texts of options in a reply."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence

from niah.clock import RANGE
from niah.scoring.letters import Mention
from niah.scoring.visible import MASK
from niah.types import LETTERS

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_JOINED = re.compile("[\u2e80-\u9fff\uac00-\ud7af\u0e00-\u0eff]")  # scripts whose words touch


def whole_reply(text: str, options: Sequence[str]) -> Optional[int]:
    """Return the only option whose text is the whole reply, ignoring articles, case and final stops."""
    bare = _bare(text)
    if not bare or is_letter(bare):
        return None
    same = [index for index, option in enumerate(options) if _bare(option) == bare]
    return same[0] if len(same) == 1 else None


def find_texts(text: str, options: Sequence[str]) -> List[Mention]:
    """Find the option texts in a reply, in order; "brown bear" is not also found as "bear"."""
    # Masked, not removed, to keep positions: "the right answer" is not the option "Right".
    searched = re.sub(r"(?i)\bright(?= (?:answer|option|choice|letter)\b)", _mask_match, text)
    searched = re.sub(r"(?i)\b(?:option|choice) \d+\b", _mask_match, searched)
    mentions = []
    for option in sorted({_bare(option): option for option in options}.values(), key=len, reverse=True):
        same = tuple(index for index, other in enumerate(options) if _bare(other) == _bare(option))
        pattern = re.compile(_pattern(option), re.I)
        mentions += [Mention(found.start(), found.end(), same) for found in pattern.finditer(searched)]
        searched = pattern.sub(_mask_match, searched)
    return sorted(mentions)


def mask_texts(text: str, texts: Sequence[Mention], options: Sequence[str]) -> str:
    """Mask option texts in the search for letters, also an option "A" that follows its letter ("B. A")."""
    spans = [(mention.start, mention.stop) for mention in texts]
    for letter, option in zip(LETTERS, options):
        if is_letter(_bare(option)):
            echo = re.compile(rf"(?<!\w){letter}[).:]\)?\s*({re.escape(option)})(?!\w)")
            spans += [found.span(1) for found in echo.finditer(text)]
    characters = list(text)
    for start, stop in spans:
        characters[start:stop] = MASK * (stop - start)
    return "".join(characters)


def is_letter(text: str) -> bool:
    """Return True if a text is one letter that can name an option."""
    return len(text) == 1 and text.upper() in LETTERS


def _bare(text: str) -> str:
    """Return text in the form in which two spellings of one option are equal."""
    words = " ".join(text.casefold().split()).strip(" .,;:!?\"'()[]")
    words = re.sub(r"^(?:a|an|the) (?=\S)", "", words)
    return str(_NUMBERS.index(words)) if words in _NUMBERS else words


def _pattern(option: str) -> str:
    """Return a pattern that finds an option's text in prose."""
    bare = _bare(option)
    if not bare or is_letter(bare):
        return r"(?!)"
    body = r"\s+".join(re.escape(word) for word in bare.split())
    if RANGE.search(bare):
        body = body.replace(r"\s+to\s+", r"\s*(?:to|and|until|-)\s*")  # "between 3:20 and 10:00"
    if bare.isdigit() and 1 < int(bare) < len(_NUMBERS):  # "one" is a pronoun too often
        body = f"(?:{body}|{_NUMBERS[int(bare)]})"
    before = "" if _JOINED.match(bare[0]) else r"(?<!\w)(?<!\w\w[-'])(?<!\d[-.,:])"
    return before + body + ("" if _JOINED.match(bare[-1]) else r"(?!\w|[-']\w|[.,:]\d)")


def _mask_match(found: "re.Match[str]") -> str:
    return MASK * len(found.group())
