"""ViLaMP (arXiv 2504.02438): differential keyframe selection and differential feature merging.

`Vilamp.from_release(folder)` loads a released checkpoint. Names are imported when first asked for, because the
bench and the parity of released checkpoints run where `open_clip`, which the small model needs, is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vilamp.keyframes import fill_gaps, select_keyframes
    from vilamp.merge import merge_features
    from vilamp.model import Vilamp

__all__ = ["Vilamp", "fill_gaps", "merge_features", "select_keyframes"]

_HOMES = {"Vilamp": "model", "fill_gaps": "keyframes", "merge_features": "merge", "select_keyframes": "keyframes"}


def __getattr__(name: str) -> Any:
    """Import what is re-exported. Raises AttributeError for anything else."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vilamp' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"vilamp.{_HOMES[name]}"), name)


__path__.append(f"{__path__[0]}/forwarding")  # niah parity vilamp and the like, for one release
