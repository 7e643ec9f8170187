"""Three wordings of a question, which help less and less to find the needle.

`named` names the target. `indirect` replaces its colour by a thing of that colour, a word that no encoder was trained
on, so only the shape helps. `unnamed` says only that the needle's frames have a border; its clips show one sprite, as
the question does not name any. The border's colour is not named, because it would point to sprites of that colour.
"""

from __future__ import annotations

from niah.suite.footage.draw import Look

WORDINGS = ("named", "indirect", "unnamed")
WORDED_TYPES = {
    f"{base}-{wording}": wording for base in ("motion", "digit") for wording in WORDINGS
}  # types of clips besides TYPES
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
CUES = {  # what a clip shows and no decoy of it does; none of them gives the answer away
    "motion": "the clip in which the {look} moves",
    "digit": "the clip in which the {look} has a digit beside it",
    "colour": "the clip in which the {look} changes its colour",
    "order": "the clip in which the {look} is one of several sprites that appear one after another",
    "count": "the clip that shows any {look}",
}


def base_type(type: str) -> str:
    """Return the type without its wording: "motion" of "motion-indirect"."""
    return type.split("-")[0] if type in WORDED_TYPES else type


def cue(type: str, target: Look, mark: str = "") -> str:
    """Return a phrase that says which clip of this type is meant, in the wording of its type, and its mark if given."""
    wording = WORDED_TYPES.get(type, "named")
    if wording == "unnamed":
        return "the clip whose pictures have a border"
    phrase = CUES[base_type(type)].format(look=target)
    return reword(f"{phrase} and {mark}" if mark else phrase, target, wording)


def reword(question: str, target: Look, wording: str) -> str:
    """Return a question that names `target` in another wording."""
    if wording == "named":
        return question
    if wording == "indirect":
        return question.replace(str(target), f"{target.shape} with the colour of {COLOURED_THINGS[target.colour]}")
    return question.replace(str(target), "sprite").replace("?", f" {BORDER_CLAUSE}?")
