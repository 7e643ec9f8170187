"""Built-in footage: haystacks and needles drawn from names, the same pixels on every machine.

Only `niah.suite.footage.build`, which writes the files, needs PyAV.
"""

from niah.suite.footage.calibration import Barcode, read_barcode
from niah.suite.footage.clips import TYPES, Clip, clip
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES, SIZE, Look
from niah.suite.footage.phrases import CONDITION, PHRASED, THINGS, TOLD
from niah.suite.footage.scenes import FOOTAGE_VERSION, Scene, SpriteLabel, common, haystack, reserved, scene, scenes

__all__ = [
    "COLOURS",
    "CONDITION",
    "DIGITS",
    "FOOTAGE_VERSION",
    "PHRASED",
    "SHAPES",
    "SIZE",
    "THINGS",
    "TOLD",
    "TYPES",
    "Barcode",
    "Clip",
    "Look",
    "Scene",
    "SpriteLabel",
    "clip",
    "common",
    "haystack",
    "read_barcode",
    "reserved",
    "scene",
    "scenes",
]
