"""What a reviewer would object to in some runs, found by the tool itself."""

from niah.doubts.doubt import Doubt, in_words
from niah.doubts.review import doubts

__all__ = ["Doubt", "doubts", "in_words"]
