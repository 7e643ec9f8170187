"""ViLaMP (arXiv 2504.02438): differential keyframe selection and differential feature merging.

`vilamp.answer` is the paper in one function. `Vilamp.from_release(folder)` loads a released checkpoint.
"""

from vilamp.keyframes import fill_gaps, select_keyframes
from vilamp.merge import merge_features
from vilamp.model import Vilamp

__all__ = ["Vilamp", "fill_gaps", "merge_features", "select_keyframes"]

__path__.append(f"{__path__[0]}/forwarding")  # python -m vilamp.parity and the like, for one release
