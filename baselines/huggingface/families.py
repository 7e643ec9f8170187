"""Which classes of the installed transformers take video, and at which size they show frames: writes docs/models.md.

python -m baselines.huggingface.families docs/models.md

Everything in the table is what a processor of that class does with its own defaults, asked with tensors that hold no
data; a checkpoint's files may set other budgets. No weights and no network are needed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from transformers.models.auto.auto_mappings import VIDEO_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # pyright: ignore[reportPrivateImportUsage]
from transformers.models.auto.video_processing_auto import video_processor_class_from_name

from baselines.huggingface.stream import OF_FRAMES, StreamedVideoProcessor, placeholder
from niah.adapters.shown import size_in_inputs
from niah.io import replace_file
from niah.types import UserError

COUNTS = (32, 512, 2_000, 10_000)  # frames
SIDE = 384  # pixels
BEGIN, END = "<!-- begin: written by python -m baselines.huggingface.families -->", "<!-- end -->"
TESTED = (  # whose rows a test compares with their processors
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_onevision", "llava_next_video", "video_llava", "internvl", "glm4v",
    "glm46v", "perception_lm",
)  # fmt: skip
UNKNOWN = "?"  # a processor that reads pixels to know shapes, or whose class has no default size


@dataclass(frozen=True)
class Family:
    """A class that takes video: how, and at which size it shows frames of 384 x 384."""

    model: str
    processor: str
    times: str  # "text", "positions" or "no"
    sizes: tuple[str, ...]  # by `COUNTS`
    streamed: bool
    needs: tuple[str, ...] = ()  # packages beside transformers

    def row(self) -> str:
        """Return the row of the table."""
        needs = ", ".join(f"`{one}`" for one in self.needs)
        name = f"**`{self.model}`**" if self.model in TESTED else f"`{self.model}`"
        values = [
            name,
            f"`{self.processor}`",
            self.times,
            *self.sizes,
            "yes" if self.streamed else "no",
            needs,
        ]
        return f"| {' | '.join(values)} |"


def with_video() -> list[Family]:
    """Return the classes that take video, by model type."""
    known = {**MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, **MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    found = []
    for model in sorted(known):
        processor = PROCESSOR_MAPPING_NAMES.get(model)
        videos = _video_processor(model)
        if processor is not None and videos is not None and "video_processor" in _arguments(model, processor):
            found.append(_family(model, processor, videos))
    return found


def with_images() -> list[str]:
    """Return the model types that take images only, which are given frames as images."""
    video = {family.model for family in with_video()}
    known = {**MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, **MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    return sorted(model for model in known if model not in video and _takes(model) == {"image_processor"})


def without_a_class() -> list[str]:
    """Return the model types whose processor takes video, but for which no video processor is registered."""
    video = {family.model for family in with_video()}
    known = {**MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, **MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    return sorted(model for model in known if model not in video and "video_processor" in _takes(model))


def page_part() -> str:
    """Return what is written between the marks of the page."""
    head = ["class", "processor", "times", *(f"{count:,} frames" for count in COUNTS), "in chunks", "needs"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(family.row() for family in with_video())]
    images = ", ".join(f"`{model}`" for model in with_images())
    version = f"Of transformers {transformers.__version__}; a frame has {SIDE} x {SIDE} pixels."
    others = ", ".join(f"`{model}`" for model in without_a_class())
    lines = [f"Frames are handed as images to: {images}.", "", f"Video, as the checkpoint's files say: {others}."]
    return "\n".join([BEGIN, version, "", *rows, "", *lines, END])


def _family(model: str, processor: str, videos: Any) -> Family:
    """Return what is found out about a class with its own defaults."""
    sizes, streamed = [], True
    for count in COUNTS:
        size, keys = _shown(videos, count)
        sizes.append(size)
        streamed = streamed and keys is not None and keys <= set(OF_FRAMES)
    return Family(model, processor, _times(model, processor), tuple(sizes), streamed, _needs(model, processor))


def _shown(videos: Any, count: int) -> tuple[str, set[str] | None]:
    """Return the size of so many frames, and the names of the tensors made; None where that needs pixels."""
    metadata = {"total_num_frames": count, "fps": 1.0, "frames_indices": list(range(count)), "duration": float(count)}
    given = {"video_metadata": [metadata], "do_sample_frames": False, "return_tensors": "pt"}
    try:
        stream = StreamedVideoProcessor(videos, None, None, torch.float32)
        made = stream([placeholder(count, SIDE, SIDE)], **given)
    except (NotImplementedError, RuntimeError, ValueError, TypeError):  # needs data, or has no defaults
        return UNKNOWN, None
    size = size_in_inputs(made, SimpleNamespace(video_processor=videos), count)
    names = {name for name, value in made.items() if isinstance(value, torch.Tensor) and value.is_meta}
    return (UNKNOWN if size is None else f"{size[0]} x {size[1]}"), names


def _times(model: str, processor: str) -> str:
    """Return whether the times of frames reach the model: as text, by positions, or not; read from the source."""
    source = inspect.getsource(_class(model, processor))
    if "second_per_grid" in source or "seconds_per_grid" in source or "position_id_per_seconds" in source:
        return "positions"
    return "text" if "timestamp" in source else "no"


def _needs(model: str, processor: str) -> tuple[str, ...]:
    """Return the packages that a processor asks for when it is made."""
    source = inspect.getsource(sys.modules[_class(model, processor).__module__])
    return tuple(name for name in ("num2words", "soundfile", "librosa") if f"is_{name}_available" in source)


def _video_processor(model: str) -> Any:
    """Return a video processor with the defaults of its class; None where there is none, or it has none."""
    names: dict[str, Any] = {**VIDEO_PROCESSOR_MAPPING_NAMES}
    name = (names.get(model.removesuffix("_thinker")) or {}).get("torchvision")
    found = None if name is None else video_processor_class_from_name(name)
    return None if found is None else found()


def _takes(model: str) -> set[str]:
    """Return which processors of pictures a model's processor is made of."""
    return {"image_processor", "video_processor"} & set(_arguments(model, PROCESSOR_MAPPING_NAMES.get(model)))


def _arguments(model: str, processor: str | None) -> Iterable[str]:
    """Return what a processor is made of."""
    return () if processor is None else inspect.signature(_class(model, processor).__init__).parameters


def _class(model: str, name: str) -> Any:
    """Return a processor's class."""
    found = getattr(transformers, name, None)
    return found or getattr(import_module(f"transformers.models.{model_type_to_module_name(model)}"), name)


def main(arguments: list[str]) -> int:
    """Write the part of the page between the marks."""
    if len(arguments) != 1:
        raise UserError("name the page: python -m baselines.huggingface.families docs/models.md")
    path = Path(arguments[0])
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    if not rest:
        raise UserError(f"{path} has no line {BEGIN!r}")
    replace_file(path, before + page_part() + rest.partition(END)[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
