"""Ask any image-text-to-text model that transformers reads: Qwen2-VL, LLaVA-OneVision, LLaVA-NeXT-Video and others.

niah run --model huggingface --model_args pretrained=FOLDER_OR_NAME,max_frames=32 --device cuda

Frames are sampled here, at bin centres, and the processor's own sampling is switched off: its rules
differ from model to model and would hide which frames an answer depended on. A model that knows time
(Qwen2.5-VL) gets the time of each frame. A model whose processor takes no video gets the frames as images.

`generate` takes a video whole, so an answer holds all `max_frames` frames: 3 bytes a pixel as decoded, 4 bytes
a value as the processor resizes them, and the model's own features and cache. Nothing is kept between answers.

transformers fills missing weights with noise and warns; here that is an error, as a model that answers at random looks
like a model that cannot find needles.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import UInt8
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForImageTextToText,
    AutoProcessor,
    LogitsProcessor,
    LogitsProcessorList,
)

from niah.adapters.checkpoint import locate
from niah.adapters.config_reader import read_config
from niah.adapters.generation import check_finite
from niah.adapters.meter import Meter
from niah.adapters.qwen import finish_reason
from niah.adapters.sampling import bin_centres
from niah.adapters.shown import size_in_inputs
from niah.extras import install
from niah.prompt import format_prompt
from niah.scoring import ends_in_thought, shows_thought
from niah.settings import positive_int
from niah.types import Question, Reply, UserError, Video

ORIGINAL = {  # types whose weights are written for a repository's own code -> that code
    "llava_qwen": "LLaVA-NeXT's (LongVA, LLaVA-Video)",
    "llava_llama": "VILA's (LongVILA) or LLaVA's",
}
REMOTE_CLASSES = (
    "AutoModelForImageTextToText",
    "AutoModelForCausalLM",
    "AutoModel",
)  # where remote code may put its model
PRETRAINED_EXAMPLE = "Qwen/Qwen2.5-VL-3B-Instruct"  # a hub name, for the message where `pretrained` is missing
WRAP = "wrap the original code in an interpreter of its own: docs/wrapping_a_repository.md"


class HuggingFace:
    """Generates greedily after a chat of one turn: the frames, then the question."""

    def __init__(self, model: Any, processor: Any, max_frames: int, as_images: bool = False) -> None:
        self.model, self.processor, self.max_frames = model, processor, max_frames
        self.as_video = vars(processor).get("video_processor") is not None and not as_images
        self._times: bool | None = None  # whether the processor passes times on; not known before the first frames

    def identity(self) -> dict[str, str]:
        """Return what files do not say: the dtype and attention in use, and hashes of what the prompt depends on."""
        generation = {**self.model.generation_config.to_dict(), "transformers_version": None}  # reported elsewhere
        return {
            "dtype": str(self.model.dtype),
            "attention": str(self.model.config._attn_implementation),
            "chat template": _sha256(json.dumps(self.processor.chat_template, sort_keys=True)),
            "generation config": _sha256(json.dumps(generation, sort_keys=True, default=str)),
        }

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model generates. Raises UserError where the question does not fit the model's positions."""
        meter = Meter(self.model.device, video)
        used = bin_centres(len(video), self.max_frames)
        frames = video.frames(used)
        inputs = self._inputs(frames, used, len(video), video.fps, format_prompt(question))
        tokens = inputs["input_ids"].shape[1]
        self._refuse_beyond(tokens)
        meter.stage("prepare")
        observers = LogitsProcessorList([_LogitsObserver(meter)])
        ids = self.model.generate(**inputs, logits_processor=observers)[0]  # (prompt + new,)
        meter.stage("generate")
        costs = meter.costs()
        return Reply(
            text=self._text(ids[tokens:]),
            frames_used=tuple(used),
            frames_kept=tuple(used),
            language_tokens=tokens,
            frame_size=size_in_inputs(inputs, self.processor, len(used)) if used else None,
            frame_times=self._gives_times(frames) if used else None,
            finish_reason=self._finish_reason(ids[tokens:].tolist()),
            prompt_opens_thought=ends_in_thought(self.processor.tokenizer.decode(ids[max(0, tokens - 16) : tokens])),
            **costs,
        )

    def _text(self, ids: Any) -> str:
        """Return an answer's text; with its special tokens only where they mark a thought, which must not be read."""
        text, whole = (self.processor.tokenizer.decode(ids, skip_special_tokens=skip).strip() for skip in (True, False))
        return whole if shows_thought(whole) and not shows_thought(text) else text

    def _inputs(
        self, frames: UInt8[np.ndarray, "frames height width 3"], used: list[int], count: int, fps: float, text: str
    ) -> Any:
        """Return what `generate` takes, on the model's device.

        Args:
            frames: The frames shown.
            used: Their numbers in the video.
            count: How many frames the video has.
            fps: Its frames a second.
            text: The question, as the prompt has it.
        """
        content: list[dict[str, str]] = [{"type": "text", "text": text}]
        given: dict[str, Any] = {}
        if len(frames) and self.as_video:
            content.insert(0, {"type": "video"})
            shown = {"total_num_frames": count, "fps": fps, "frames_indices": used, "duration": count / fps}
            given = {"videos": [frames], "video_metadata": [shown], "do_sample_frames": False}
        elif len(frames):
            content[:0] = [{"type": "image"}] * len(frames)
            given = {"images": list(frames)}
        chat = [{"role": "user", "content": content}]
        prompt = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        inputs = self.processor(text=[prompt], return_tensors="pt", **given)
        return inputs.to(self.model.device, self.model.dtype)  # casts only what is floating

    def _gives_times(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> bool:
        """Return True if what the processor makes of two frames depends on when they were shown."""
        times = self._times
        if times is None:
            quick, slow = (self._inputs(frames[[0, -1]], [0, 1], 2, fps, "") for fps in (1.0, 0.02))
            times = quick.keys() != slow.keys() or any(not _same(quick[name], slow[name]) for name in quick)
            self._times = times
        return times

    def _finish_reason(self, ids: list[int]) -> str:
        """Return whether an answer reached the token limit without its end."""
        settings = self.model.generation_config
        ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
        return "stop" if ids[-1:] and ids[-1] in ends else finish_reason(ids, settings.max_new_tokens)

    def _refuse_beyond(self, tokens: int) -> None:
        """Raise UserError for more positions than the model was made for: it would answer, but not as itself."""
        limit = self.model.config.get_text_config().to_dict().get("max_position_embeddings")
        wanted = tokens + self.model.generation_config.max_new_tokens
        if limit is not None and wanted > limit:
            raise UserError(
                f"{tokens} tokens and up to {wanted - tokens} of an answer are more than the model's {limit} "
                f"positions; lower max_frames={self.max_frames}"
            )


class _LogitsObserver(LogitsProcessor):
    """Notes when the first logits have been computed, and refuses logits that are not finite; changes none."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._started = meter, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self._started:
            self._meter.first_token()
            self._started = True
        return check_finite(scores)


def load(
    pretrained: str,
    max_frames: int = 32,
    max_new_tokens: int = 32,
    as_images: bool = False,
    device: str = "cpu",
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
    seed: int = 0,
) -> HuggingFace:
    """Load a folder or a hub name; `dtype` "auto" is the checkpoint's own. Raises UserError saying what is missing.

    `as_images` shows frames as images to a model that takes video too. `trust_remote_code` runs Python that
    comes with the checkpoint: never unless you pass it. `device_map` (auto, balanced, sequential …) spreads one
    model over the GPUs at hand, whatever `device` says. `seed` changes nothing, as decoding is greedy.
    """
    del seed
    max_frames, max_new_tokens = positive_int("max_frames", max_frames), positive_int("max_new_tokens", max_new_tokens)
    model, processor = load_pretrained(pretrained, dtype, attn_implementation, trust_remote_code, device_map)
    model.generation_config = _greedy(model.generation_config, max_new_tokens)
    placed = model if device_map is not None else model.to(device)
    return HuggingFace(placed.eval(), processor, max_frames, as_images)


def _greedy(shipped: Any, max_new_tokens: int) -> Any:
    """Return greedy decoding with the checkpoint's special tokens and none of its temperatures or penalties."""
    tokens = {name: vars(shipped)[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return type(shipped)(do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, **tokens)


def load_pretrained(
    pretrained: str,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
) -> tuple[Any, Any]:
    """Return (model, processor). Raises UserError where a type, a file, a weight or accelerate is missing.

    Args:
        pretrained: A folder or a hub name.
        dtype: "auto", the checkpoint's own, or a dtype of torch.
        attn_implementation: Handed to transformers.
        trust_remote_code: Whether to run Python that comes with the checkpoint.
        device_map: Spreads the model over the GPUs by a rule of transformers; without it the model is on the CPU.
    """
    if device_map is not None and find_spec("accelerate") is None:
        raise UserError(f"device_map={device_map} needs the package accelerate: {install('accelerate')}")
    folder = locate(pretrained)
    config = read_config(folder)
    reader = _reader(pretrained, config, trust_remote_code)
    if dtype != "auto" and not isinstance(vars(torch).get(dtype), torch.dtype):
        raise UserError(f"dtype is auto or a type of torch (float32, bfloat16, float16), got {dtype!r}")
    processor = _processor(pretrained, folder, trust_remote_code)
    model, found = reader.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
    )
    absent = _untied(model, set(found["missing_keys"]))
    mismatched = {str(key[0] if isinstance(key, tuple) else key) for key in found["mismatched_keys"]}
    problems = (("lacks", absent), ("misshapes", mismatched))
    wrong = [f"{what} {_some(sorted(names))}" for what, names in problems if names]
    if wrong:
        raise UserError(
            f"{pretrained} {' and '.join(wrong)}: its weights are of another model than its config.json; "
            "download it again"
        )
    return model, processor


def _untied(model: Any, absent: set[str]) -> set[str]:
    """Return the missing weights less the output embedding, which is tied here if the checkpoint says so.

    transformers 5.0 overlooks it where only the language model's part of config.json says so.
    """
    head = model.get_output_embeddings()
    tied = model.config.get_text_config().to_dict().get("tie_word_embeddings")
    if head is None or not tied:
        return absent
    names = {name for name, weight in model.named_parameters() if weight is head.weight}
    if not names & absent:
        return absent
    head.weight = model.get_input_embeddings().weight
    return absent - names


def _reader(pretrained: str, config: dict[str, Any], trust_remote_code: bool) -> Any:
    """Return the class that reads a checkpoint with this config.json."""
    kind, remote = str(config.get("model_type")), config.get("auto_map", {})
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    if remote and trust_remote_code:
        name = next((name for name in REMOTE_CLASSES if name in remote), None)
        if name is not None:
            return getattr(transformers, name)
    what = f"{pretrained} is of type {kind!r}, which transformers {transformers.__version__}"
    if remote and not trust_remote_code:
        raise UserError(
            f"{what} reads only by running the Python that comes with it: read that code, then pass "
            f"trust_remote_code=True, or {WRAP}"
        )
    if kind in CONFIG_MAPPING:
        raise UserError(f"{what} knows, but not as a model of images and text; name one that is")
    whose = f": its weights are for {ORIGINAL[kind]} own code" if kind in ORIGINAL else ""
    raise UserError(f"{what} does not know{whose}. Take a checkpoint converted for transformers, or {WRAP}")


def _processor(pretrained: str, folder: Path, trust_remote_code: bool) -> Any:
    """Return the processor. Raises UserError where its files or its chat template are missing."""
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:  # transformers' two ways of missing a file
        raise UserError(
            f"{pretrained} has no processor that transformers {transformers.__version__} can make: {error}; the files "
            "preprocessor_config.json (or processor_config.json) and tokenizer.json must lie beside its config.json"
        ) from error
    if not vars(processor).get("chat_template"):
        raise UserError(
            f"{pretrained} has no chat template: put the chat_template.jinja of its instruct version beside config.json"
        )
    return processor


def _same(one: Any, other: Any) -> bool:
    """Return True if two values of a processor's output are equal."""
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def _sha256(text: str) -> str:
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _some(names: list[str]) -> str:
    """Return a few names and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
