"""Built-in footage: haystacks and needles drawn from names, the same pixels on every machine.

Only `niah.footage.build`, which writes the files, needs PyAV.
"""

from niah.footage.calibration import Barcode, read_barcode
from niah.footage.clips import TYPES, Clip, clip
from niah.footage.draw import COLOURS, DIGITS, SHAPES, SIZE, Look
from niah.footage.phrases import CONDITION, PHRASED, THINGS, TOLD
from niah.footage.scenes import FOOTAGE_VERSION, Scene, SpriteLabel, common, haystack, reserved, scene, scenes

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
