"""The same question with less and less help for whoever looks for the needle by it.

`named` says what the target is called. `indirect` says its colour by a thing of that colour, a word no encoder was
taught, so half of the clue is left. `unnamed` says nothing that tells the needle's frames from others but the
border that is drawn around them; its clips show one sprite, as nothing says which is meant. The border's colour is
not named: that would be a clue to sprites of the same colour.
"""

from __future__ import annotations

from niah.suite.footage.draw import Look

WORDINGS = ("named", "indirect", "unnamed")
WORDED_TYPES = {
    f"{base}-{told}": told for base in ("motion", "digit") for told in WORDINGS
}  # types of clips beside TYPES
COLOURED_THINGS = {
    "red": "blood",
    "green": "grass",
    "blue": "sapphire",
    "yellow": "lemon",
    "purple": "plum",
    "cyan": "lagoon",
    "orange": "carrot",
    "white": "snow",
}
BORDER_CLAUSE = "while the border is there"


def base_type(type: str) -> str:
    """Return the type of clip whose pictures and options a type has: "motion" of "motion-indirect"."""
    return type.split("-")[0] if type in WORDED_TYPES else type


def reword(question: str, target: Look, told: str) -> str:
    """Return a question that names `target`, put so that as much is told of it as `told` says."""
    if told == "named":
        return question
    if told == "indirect":
        return question.replace(str(target), f"{target.shape} with the colour of {COLOURED_THINGS[target.colour]}")
    return question.replace(str(target), "sprite").replace("?", f" {BORDER_CLAUSE}?")
