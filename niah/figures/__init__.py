"""Runs into pictures: accuracy over length and depth, memory and time over frames."""

from niah.figures.draw import STYLES, draw

__all__ = ["STYLES", "draw"]
