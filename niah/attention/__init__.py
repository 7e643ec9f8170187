"""What a model looks at while it answers: attention over frames and patches, for adapters that can tell."""

from niah.attention.contract import Attended, Attending
from niah.attention.measure import FrameRow, PatchRow, over_frames, over_patches, received

__all__ = ["Attended", "Attending", "FrameRow", "PatchRow", "over_frames", "over_patches", "received"]
