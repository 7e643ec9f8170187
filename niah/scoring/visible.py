r"""Reduce a reply to what its model says to the user: one spelling of characters, no thoughts, one turn, no markup.

A thought that never closed leaves nothing to read: what it says last is what the model weighed last. The exception is
an `<answer>` with which such a reply ends. Everything up to a closing marker without an opening one is a thought that
the prompt opened. A prompt can also open a thought that the reply never closes, which only the adapter knows.
"""

from __future__ import annotations

import collections
import re
import unicodedata
from typing import List

MASK = "\ue000"  # stands for the characters of an option's text, so that no letter is read from it
SPACED = "\u0590-\u1dff\u2e80-\ud7ff"  # scripts that set no blank between their words and a Latin letter
_SIGNS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u3002": ".", "\u3001": ",", "\u3010": "[",
    "\u3011": "]", "\u300c": '"', "\u300d": '"', "\u2014": " - ", "\u2013": "-", "\u2212": "-", "\u25c1": "<",
    "\u25b7": ">", "\u061b": ";", "\u061f": "?", "\u060c": ",", "\u0964": ".", "\u00ab": '"', "\u00bb": '"', MASK: " ",
    **{chr(first + i): f" {chr(65 + i)} " for first in (0x1F150, 0x1F170) for i in range(26)},  # white on black
})  # fmt: skip
_FLAG = "[\U0001f1e6-\U0001f1ff]"  # regional indicators: two are a flag, one is a letter
# Letters of other scripts that look like a Latin one: Cyrillic, Greek, Cherokee, Lisu.
_LOOKS_LIKE = {
    "A": "\u0410\u0391\u13aa\ua4ee", "B": "\u0412\u0392\u13f4\ua4d0", "C": "\u0421\u03f9\u13df\ua4da",
    "D": "\u13a0\ua4d3", "E": "\u0415\u0395\u13ac\ua4f0", "F": "\u03dc\ua4dd", "G": "\u050c\u13c0\ua4d6",
    "H": "\u041d\u0397\u13bb\ua4e7", "I": "\u0406\u0399\ua4f2", "J": "\u0408\u13ab\ua4d9",
}  # fmt: skip
_LATIN = str.maketrans({other: letter for letter, others in _LOOKS_LIKE.items() for other in others})
# Alone before an end, a bracket or a sign: before a word, several of them are words of their own languages.
_LOOKALIKE = re.compile(rf"(?<!\w)[{''.join(_LOOKS_LIKE.values())}](?=\s*(?:[.,:;!?)\]}}>\"'*<|]|\n|$| - ))")

_THOUGHT = (
    r"(?:(?:deep_?)?think(?:ing)?|thoughts?(?:_process)?|reason(?:ing(?:_\w+)?)?|reflect(?:ion)?|scratch_?pad|analysis|"
    r"rationale|cot(?:_\w+)?|chain[_-]of[_-]thought|(?:inner|internal)_\w+|monologue|deliberation|critique|planning)"
)
_MARKER = re.compile(
    rf"<(?P<close>/)?(?:\w+:)?(?P<name>{_THOUGHT})(?:\s[^<>]*)?>"  # <think>, </think>, <seed:think>
    rf"|\[(?P<close_b>/)?(?P<name_b>{_THOUGHT})\]"  # [THINK], [/THINK]
    rf"|<\|(?:(?P<close_t>/|end_(?:of_)?)|(?:begin_of_|start_(?:of_)?))?(?P<name_t>{_THOUGHT})\|>"  # <|end_thinking|>
    r"|(?P<harmony><\|channel\|>\s?(?:analysis|commentary)[^<]{0,80}<\|message\|>)"
    r"|(?P<harmony_end><\|channel\|>\s?final[^<]{0,80}<\|message\|>|assistant(?:<\|channel\|>)?final)"
    r"|(?P<unused><unused94>(?:thought)?|<\|channel>thought)|(?P<unused_end><unused95>|<channel\|>)"
    r"|(?P<words>^thinking\.\.\.\s*$|\bhere(?:'s| is) my thought process:|<details[^<>]*reasoning[^<>]*>)"
    r"|(?P<words_end>^\.\.\.done thinking\.?\s*$|\bhere(?:'s| is) my response:|</details>)",
    re.I | re.M,
)
_PAIRED = ("harmony", "unused", "words")
_ENDING_ANSWER = re.compile(r"<answer>[^<>]{0,400}</answer>(?:\s|<\|[^|<>]*\|>|</s>)*$", re.I)
_ROLE = r"(?:assistant|gpt|bot|model|ai)"
_OTHER_ROLE = r"(?:human|user|system|question(?: ?\d{1,3})?|instruction|input|q)"
_END = re.compile(
    r"<\|(?:im_end|eot_id|eot|end|end_of_text|endoftext|end_of_turn(?:_token)?|eom_id|return|eos)\|>|</s>|<eos>|"
    r"<end_of_turn>|<\|end[\u2581_]of[\u2581_]sentence\|>|"
    rf"<\|(?:im_start|start_header_id|start)\|>\s?{_OTHER_ROLE}|"  # the turn of somebody else
    rf"\n\s*(?:#+ ?|<|\[|\*\*)?(?:{_OTHER_ROLE}|{_ROLE})(?:>|\])?(?:\*\*)?\s?:",
    re.I,
)
_GLUED_TURN = re.compile(r"(?<=[A-J.!?)\n])(?:user|assistant|model)\n")  # headers without their special tokens
_TOKEN = re.compile(r"<\|[^|<>]{0,80}\|>|</?s>|<(?:bos|eos|pad|end_of_turn|start_of_turn)>", re.I)
_NOTHING = re.compile(rf"(?:{_TOKEN.pattern}|[\W_])*", re.I)  # before a model's first word
_HEADER = re.compile(rf"<\|(?:im_start|start_header_id|start)\|>\s?{_ROLE}", re.I)
_LABEL = re.compile(rf"^\s*(?:#+ ?|\*\*)?{_ROLE}(?:\*\*)?\s?:", re.I)
_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt)|boldsymbol|bm|rm|bf|mbox|large|Large)\s*\{([^{}]*)\}"
)


def visible_text(reply: str, in_thought: bool = False) -> str:
    """Return what a reply says outside of thoughts, in its first turn, without markup; "" if it says nothing.

    `in_thought` is True where the prompt ended inside a thought, which the reply then has to close.
    """
    text = _without_thoughts(normalize_characters(reply), in_thought)
    text = re.sub(r"(?i)<\|begin_of_box\|>(.*?)<\|end_of_box\|>", r"\\boxed{\1}", text)
    return normalize_text(_first_turn(text))


def ends_in_thought(prompt: str) -> bool:
    """Return True if a prompt, as the chat template renders it, ends with the opening marker of a thought."""
    last = collections.deque(_MARKER.finditer(prompt), maxlen=1)
    return any(not prompt[marker.end() :].strip() and not _read_marker(marker)[0] for marker in last)


def shows_thought(text: str) -> bool:
    """Return True if a text holds a marker that opens or closes a thought."""
    return _MARKER.search(text) is not None


def normalize_text(text: str) -> str:
    """Remove markup and spacing that carry no meaning; at most one blank is left between any two words."""
    text = _TOKEN.sub("\n", text)
    text = re.sub(r"</?(?:b|i|u|p|em|strong|code|span|mark)>|<br ?/?>", " ", text, flags=re.I)
    text = re.sub(r"\\(?:fbox|framebox|bbox)(?=\s*\{)", r"\\boxed", text)
    for _ in range(3):  # commands within commands
        text = _TEXT_COMMAND.sub(r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$", " ", text)
    text = re.sub(r"(?<!\w)[*_`#~]+|(?:[*_`~]|(?<!\b[A-Ga-g])#)+(?!\w)", "", text)  # no headings, but the note C#
    text = re.sub(rf"(?<=[{SPACED}])(?=[A-Za-z])|(?<=[A-Za-z])(?=[{SPACED}])", " ", text)
    # So that the patterns need no \s*, which could backtrack for ever.
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text))


def normalize_characters(text: str) -> str:
    """Return text with one spelling of each character, without those that are not seen."""
    text = re.sub(f"{_FLAG}{{2,}}", " ", text)
    text = re.sub(_FLAG, lambda found: f" {chr(ord(found.group()) - 0x1F1E6 + 65)} ", text)
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = "".join(one for one in text if unicodedata.category(one) != "Cf" and one not in "\ufe0e\ufe0f")
    return _LOOKALIKE.sub(lambda found: found.group().translate(_LATIN), text)


def _without_thoughts(text: str, in_thought: bool) -> str:
    """Return text without its thoughts; if the last one never closes, no more than the answer it ends with."""
    if re.match(r"analysis(?=[^\s:]|$)", text) and "assistantfinal" in text:
        text = text[len("analysis") :]
    elif re.match(r"analysis[A-Z(\"']", text):
        return ""  # the channels of harmony without their special tokens, and no final one
    text = re.sub(r"^final(?=[A-Z(])", "", text)
    opened: List[str] = ["think"] if in_thought else []
    shown: List[str] = []
    start = 0
    for marker in _MARKER.finditer(text):
        closes, name = _read_marker(marker)
        if not opened:
            shown.append(text[start : marker.start()])
        if not closes:
            opened.append(name)
        elif name in opened:
            del opened[opened.index(name) :]  # with what it mentions: "I must write <think> first"
        else:
            opened.clear()
            shown.clear()  # the prompt opened it
        start = marker.end()
    if not opened:
        return "\n".join([*shown, text[start:]])
    answer = _ENDING_ANSWER.search(text)
    return answer.group() if answer else ""


def _read_marker(marker: "re.Match[str]") -> "tuple[bool, str]":
    """Return whether a marker closes a thought, and by which name the thought is called."""
    for name in _PAIRED:
        if marker.group(name) or marker.group(f"{name}_end"):
            return not marker.group(name), name
    name = marker.group("name") or marker.group("name_b") or marker.group("name_t")
    return bool(marker.group("close") or marker.group("close_b") or marker.group("close_t")), name.lower()


def _first_turn(text: str) -> str:
    """Return the model's own turn: what follows it is the model playing the user, or the tokens of its end."""
    text = _LABEL.sub("", _HEADER.sub("\n", text))
    begun = _NOTHING.match(text)
    begin = begun.end() if begun else 0
    ends = [found.start() for found in (pattern.search(text, begin) for pattern in (_END, _GLUED_TURN)) if found]
    return text[: min(ends, default=len(text))]
