"""Extract the letter of an option from a model's reply."""

from niah.scoring.answer import CUT_SHORT, extract_answer, extract_letter
from niah.scoring.visible import ends_in_thought, shows_thought

__all__ = ["CUT_SHORT", "ends_in_thought", "extract_answer", "extract_letter", "shows_thought"]
