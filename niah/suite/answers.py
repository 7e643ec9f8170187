"""Read the options and the answer of a needle as people write them.

An answer is a letter, an option's text or both. A bare number could count from 0 or from 1, which nobody can see in one
line, so it is refused unless the suite says which.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

from niah.types import LETTERS, UserError


def read_options(value: Any, where: str) -> tuple[str, ...]:
    """Return the options without their letters. A csv cell may contain them as a list in text."""
    value = listed(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        raise UserError(f"{where}: options look like a list and are none in JSON: {value!r:.200}")
    if not isinstance(value, list | tuple) or not all(isinstance(option, str) and option.strip() for option in value):
        raise UserError(f"{where}: options must be a list of texts, got {value!r}")
    if not 2 <= len(value) <= len(LETTERS):
        raise UserError(f"{where}: a question needs 2 to {len(LETTERS)} options, got {len(value)}")
    options = [option.strip() for option in value]
    lettered = [re.fullmatch(r"\(?([A-J])[.):]\s*(\S.*)", option, re.DOTALL) for option in options]
    if all(found and found[1] == letter for found, letter in zip(lettered, LETTERS, strict=False)):
        options = [found[2] for found in lettered if found]
    if len(set(options)) < len(options):
        raise UserError(f"{where}: two options are the same: {options}")
    return tuple(options)


def listed(value: Any) -> Any:
    """Return a list that a csv cell holds as text, as JSON or Python write it; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    for read in (json.loads, ast.literal_eval):  # pandas writes lists as Python does
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(value.strip())
    return value


def read_answer(value: Any, options: Sequence[str], where: str, base: int | None = None) -> str:
    """Return the answer's letter. Raises UserError for none, for two readings, and for a number without a base.

    Args:
        value: What the row says: a letter, an option's text, both, or a number.
        options: The texts of the options.
        where: The file and the line, which start every message.
        base: The number of the first option; None refuses numbers.
    """
    letters = LETTERS[: len(options)]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = value.strip() if isinstance(value, str) else str(value) if is_number else ""
    matches = _matches(text, letters, options)
    if re.fullmatch(r"\d+", text) and (is_number or base is not None or not matches):  # a text may be an option's
        return _numbered(int(text), matches, letters, (where, options, base))
    if len(matches) == 1:
        return matches.pop()
    if matches:
        raise UserError(f"{where}: answer {value!r} is one option's letter and another's text; write 'B. text'")
    raise UserError(f"{where}: answer {value!r} is not among the options; give one of {letters} or of {list(options)}")


def _matches(text: str, letters: str, options: Sequence[str]) -> set[str]:
    """Return the letters of the options that a text may mean: "B", "b", "(B)", "B. Cats", "Cats"."""
    bare = re.sub(r"^\(?([A-Ja-j])(?:[.):]+)?(?=\s|$)\s*", lambda found: f"{found[1].upper()} ", text).strip()
    pairs = list(zip(letters, options, strict=True))
    return {letter for letter, option in pairs if text == option or bare in (letter, f"{letter} {option}")}


def _numbered(number: int, texts: set[str], letters: str, rest: tuple[str, Sequence[str], int | None]) -> str:
    """Return the letter that a number means. Raises UserError naming every reading where there is no base."""
    where, options, base = rest
    of = dict(zip(letters, options, strict=True))
    if base is not None and 0 <= number - base < len(letters):
        return letters[number - base]
    if base is not None:
        raise UserError(
            f"{where}: answer {number} is no number of an option: with answer_base: {base} they are {base} to "
            f"{base + len(letters) - 1}"
        )
    readings = [(f"answer_base: {start}", number - start) for start in (0, 1)]
    told = [f"{letters[at]} ({of[letters[at]]!r}) with {key}" for key, at in readings if 0 <= at < len(letters)]
    told += [f"{letter}, whose text it is" for letter in sorted(texts)]
    readable = ", or ".join(told) or "no option"
    raise UserError(
        f"{where}: answer {number} is a bare number, which could mean {readable}. Write the letter, or answer_base: 0 "
        "or 1 under needles: in the suite file"
    )
