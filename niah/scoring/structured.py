r"""Find the parts of a reply that are marked as the answer: `\boxed{}`, `<answer>`, the value of a key in JSON."""

from __future__ import annotations

import re
from typing import List, Tuple

_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", re.I)  # "\boxed{B}"
_ANSWER = r"(?:final[_-]?)?(?:answer|conclusion|choice)"
_TAGGED = re.compile(rf"<({_ANSWER})>(.*?)</\1>", re.I | re.S)  # "<answer>B</answer>"
_TAG = re.compile(rf"</?{_ANSWER}>", re.I)
_CLOSING = re.compile(rf"</{_ANSWER}>", re.I)
# A pair of JSON or of a Python dictionary; a reply may end in the middle of a value.
_PAIR = re.compile(
    r"(?P<quote>[\"'])(?P<key>[\w -]{1,40})(?P=quote)\s?:\s?"
    r"(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"?|'(?P<single>(?:[^'\\]|\\.|'(?=\w))*)'?|\[(?P<list>[^\[\]{}]*)\]|(?P<bare>[^\s,{}\[\]\"']+))"
)
_KEYS = {  # without case, blanks and underscores
    "answer", "finalanswer", "correctanswer", "rightanswer", "bestanswer", "youranswer", "myanswer", "modelanswer",
    "predictedanswer", "selectedanswer", "answerletter", "finalanswerletter", "correctanswerletter", "answerchoice",
    "answeroption", "answerkey", "choice", "finalchoice", "correctchoice", "bestchoice", "selectedchoice",
    "chosenoption", "option", "finaloption", "correctoption", "bestoption", "selectedoption", "optionletter",
    "optionid", "selected", "selection", "chosen", "letter", "correctletter", "prediction", "predictedoption",
    "finalprediction", "predictedletter", "final", "ans", "pred", "respuesta", "réponse", "antwort", "resposta",
    "risposta", "答案", "正确答案", "最终答案", "选项", "回答", "答え", "정답", "답변", "ответ",
}  # fmt: skip
_WEAK_KEYS = {"response", "result", "output", "solution", "conclusion", "verdict", "label", "value", "text"}


def marked_parts(text: str) -> List[str]:
    """Return the contents of boxes and answer tags, in order."""
    # Up to the last closing tag: beyond it, every opening tag would be searched for to the end of a long reply.
    closed = max((found.end() for found in _CLOSING.finditer(text)), default=0)
    return _BOXED.findall(text) + [content for _, content in _TAGGED.findall(text[:closed])]


def without_marks(text: str) -> str:
    """Return text without boxes and their contents, and without the answer tags that are left."""
    return _TAG.sub(" ", _BOXED.sub(" ", text))


def json_parts(text: str) -> Tuple[List[str], str]:
    """Return the values of keys that hold an answer, and the text without all pairs, if it is JSON; else the text.

    What other keys hold ("reasoning", "explanation") is never read beside them.
    """
    if not re.search(r"\{\s?[\"']", text):
        return [], text
    pairs = [(re.sub(r"[\W_]", "", found["key"]).casefold(), _value(found)) for found in _PAIR.finditer(text)]
    for keys in (_KEYS, _WEAK_KEYS):
        values = [value for key, value in pairs if key in keys]
        if values:
            return values, ""
    verdicts = pairs and all(len(key) == 1 for key, _ in pairs)  # {"A": "No", "B": "Yes"}
    return [], text if verdicts else _PAIR.sub(" ", text)


def _value(found: "re.Match[str]") -> str:
    """Return the text of a pair's value."""
    return next((value for name in ("double", "single", "list", "bare") if (value := found[name]) is not None), "")
