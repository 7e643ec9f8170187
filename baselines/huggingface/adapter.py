"""Ask any image-text-to-text model that transformers reads: Qwen3-VL, InternVL, LLaVA-OneVision, SmolVLM and others.

niah run --model huggingface --model_args pretrained=FOLDER_OR_NAME --device cuda
niah run --model huggingface --model_args pretrained=NAME,fps=1,max_frames=768,frame_pixels=50176 --device cuda

Frames are sampled here, at bin centres, and the processor's own sampling is switched off: its rules differ from model
to model and would hide which frames an answer depended on. A model that knows time gets the time of each frame. A model
whose processor takes no video gets the frames as images. Which classes take what: docs/models.md.

Frames pass through the processor in chunks, but `generate` takes a video whole: an answer holds all frames at the size
they are shown at, in the model's dtype, and the model's features and cache. Nothing is kept between answers, but for
features of frames where `store_gib` allows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from baselines.huggingface.chat import Chat
from baselines.huggingface.checkpoint import Loading, load_pretrained
from baselines.huggingface.options import forget_positions, likelihoods, option_texts, score_options
from baselines.huggingface.settings import NEW_TOKENS, THOUGHT_TOKENS, Settings
from baselines.huggingface.shared_vision import SharedVision
from niah.adapters.feature_store import FeatureStore
from niah.adapters.generation import check_finite
from niah.adapters.meter import Meter
from niah.adapters.options import make_store
from niah.adapters.qwen import finish_reason
from niah.adapters.sampling import bin_centres
from niah.adapters.shown import frames_in_inputs, size_in_inputs
from niah.prompt import format_prompt
from niah.scoring import ends_in_thought, shows_thought
from niah.types import DrawnReply, Question, Reply, UserError, Video

PRETRAINED_EXAMPLE = "Qwen/Qwen3-VL-4B-Instruct"  # a hub name, for the message where `pretrained` is missing


class HuggingFace:
    """Asks a chat of one turn: the frames, then the question. Generates greedily or draws, or scores the options."""

    def __init__(
        self, model: Any, processor: Any, settings: Settings, seed: int = 0, store: FeatureStore | None = None
    ) -> None:
        """`store` keeps the features of frames; None encodes them for every question."""
        self.model, self.processor, self.settings, self.seed = model, processor, settings, seed
        self.vision = None if store is None else SharedVision(model, store)
        self.chat = Chat(processor, settings, model.dtype)
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
        """Return what the model answers. Raises UserError where the question does not fit the model's positions."""
        meter = Meter(self.model.device, video)
        if self.vision is not None:
            self.vision.reused = None
        prompt = format_prompt(question)
        size = video.frames([0]).shape[1:3] if len(video) else (0, 0)
        used = self._choose(video, size, prompt)
        inputs = self.chat.inputs(video, used, size, prompt).to(self.model.device, self.model.dtype)
        tokens = inputs["input_ids"].shape[1]
        self._refuse_beyond(tokens)
        self._refuse_own_sampling(inputs, len(used))
        meter.stage("prepare")
        if self._scores(question):
            said = self._scored(inputs, question, prompt, meter)
        else:
            said = self._generated(inputs, meter, self._drawn_from(video, used, prompt))
        settings = self.settings.drawing()
        shown = {}
        if used:
            settings["tokens_per_frame"] = self._tokens_per_frame(tokens, len(used), prompt)
            shown = {
                "frame_size": size_in_inputs(inputs, self.processor, len(used)),
                "frame_times": self._gives_times(size),
                "reused_frames": self._reused(len(used)),
            }
        return Reply(
            frames_used=tuple(used), frames_kept=tuple(used), language_tokens=tokens, settings=settings,
            **said, **shown, **meter.costs(),
        )  # fmt: skip

    def _choose(self, video: Video, size: tuple[int, int], prompt: str) -> list[int]:
        """Return the frames to show: as many as the settings allow and the model's positions hold.

        Raises UserError, naming the number that fits, where the settings ask for more than that.
        """
        most = self.settings.most_frames(len(video), video.fps)
        room = self._positions()
        if room is None:
            return bin_centres(len(video), most)
        room -= self.model.generation_config.max_new_tokens
        fitting = _largest(
            most, lambda count: self._token_count(video, bin_centres(len(video), count), size, prompt) <= room
        )
        if fitting < most and (self.settings.max_frames is not None or self.settings.fps is not None):
            wanted = self._token_count(video, bin_centres(len(video), most), size, prompt)
            raise UserError(
                f"{most} frames are {wanted:,} tokens, and the model's {self._positions():,} positions less "
                f"{self.model.generation_config.max_new_tokens} of an answer hold {fitting}: lower max_frames to that, "
                "or frame_pixels"
            )
        return bin_centres(len(video), fitting)

    def _token_count(self, video: Video, used: Sequence[int], size: tuple[int, int], prompt: str) -> int:
        return self.chat.token_count(used, len(video), video.fps, size, prompt)

    def _generated(self, inputs: Any, meter: Meter, name: str) -> dict[str, Any]:
        """Return the fields of a reply that is generated, or of several that are drawn from seeds and a name."""
        asked = inputs["input_ids"][0]
        observers = LogitsProcessorList([_LogitsObserver(meter)])
        replies = []
        for seed in range(self.seed, self.seed + self.settings.samples):
            forget_positions(self.model)
            with _drawing_from(f"{seed}/{name}", self.model.device):
                ids = self.model.generate(**inputs, logits_processor=observers)[0, len(asked) :]  # (new,)
            replies.append(DrawnReply(self._text(ids), seed, self._finish_reason(ids.tolist())))
        meter.stage("generate")
        return {
            "text": replies[0].text,
            "finish_reason": replies[0].finish_reason,
            "samples": tuple(replies) if self.settings.temperature is not None else (),
            "prompt_opens_thought": ends_in_thought(self.processor.tokenizer.decode(asked[-16:])),
        }

    def _drawn_from(self, video: Video, used: Sequence[int], prompt: str) -> str:
        """Return what a drawn reply follows from besides its seed: other frames or words get other luck."""
        if self.settings.temperature is None:
            return ""
        return f"{prompt}/{used}/{video.keys(0, len(video)) if used else ''}"

    def default_new_tokens(self) -> int:
        """Return how many tokens an answer may have where nothing is said: a thought needs more."""
        ids = self.chat.inputs(_NoVideo(), [], (0, 0), "?")["input_ids"][0]
        return THOUGHT_TOKENS if ends_in_thought(self.processor.tokenizer.decode(ids[-16:])) else NEW_TOKENS

    def _scores(self, question: Question) -> bool:
        """Return True if a question is answered by the likelihoods of its options, which an open one has not."""
        return self.settings.answer_by != "generate" and bool(question.options)

    def _scored(self, inputs: Any, question: Question, prompt: str, meter: Meter) -> dict[str, Any]:
        """Return the fields of a reply that is the likeliest option: by the mean over its tokens."""
        texts = option_texts(question, self.settings.answer_by)
        ids = [self.processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        sums = score_options(self.model, inputs, ids)
        meter.first_token()
        meter.stage("score")
        alone = self.chat.inputs(_NoVideo(), [], (0, 0), prompt).to(self.model.device, self.model.dtype)
        blind = score_options(self.model, alone, ids)
        meter.stage("score blind")
        scored = likelihoods(texts, ids, sums, blind)
        scores = tuple(one.log_probability / one.tokens for one in scored)
        best = texts[scores.index(max(scores))]
        return {"text": best, "mode": "likelihood", "option_scores": scores, "option_likelihoods": scored}

    def _text(self, ids: Any) -> str:
        """Return an answer's text; with its special tokens only where they mark a thought, which must not be read."""
        text, whole = (self.processor.tokenizer.decode(ids, skip_special_tokens=skip).strip() for skip in (True, False))
        return whole if shows_thought(whole) and not shows_thought(text) else text

    def _reused(self, frames: int) -> int:
        """Return of how many frames the features were found."""
        return 0 if self.vision is None else round(frames * (self.vision.reused or 0))

    def _gives_times(self, size: tuple[int, int]) -> bool:
        """Return True if the model is given the times of frames."""
        if self._times is None:
            self._times = self.chat.gives_times(size)
        return self._times

    def _tokens_per_frame(self, tokens: int, frames: int, prompt: str) -> float:
        """Return how many tokens a frame takes, those of its time included."""
        return round((tokens - self.chat.token_count([], 0, 1.0, (0, 0), prompt)) / frames, 2)

    def _finish_reason(self, ids: list[int]) -> str:
        """Return whether an answer reached the token limit without its end."""
        settings = self.model.generation_config
        ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
        return "stop" if ids[-1:] and ids[-1] in ends else finish_reason(ids, settings.max_new_tokens)

    def _positions(self) -> int | None:
        """Return how many positions the model was made for; None where its config does not say."""
        return self.model.config.get_text_config().to_dict().get("max_position_embeddings")

    def _refuse_beyond(self, tokens: int) -> None:
        """Raise UserError for more positions than the model was made for: it would answer, but not as itself."""
        limit, wanted = self._positions(), tokens + self.model.generation_config.max_new_tokens
        if limit is not None and wanted > limit:
            raise UserError(
                f"{tokens} tokens and up to {wanted - tokens} of an answer are more than the model's {limit} "
                "positions; lower max_frames or frame_pixels"
            )

    def _refuse_own_sampling(self, inputs: Any, shown: int) -> None:
        """Raise UserError where the processor kept fewer frames than it was given: records would be wrong."""
        kept = frames_in_inputs(inputs, self.processor) if shown and self.chat.as_video else None
        if kept is not None and kept < shown:
            raise UserError(
                f"{type(self.processor.video_processor).__name__} kept {kept} of the {shown} frames it was given: it "
                f"samples by itself. Show it no more (max_frames={kept}), hand frames over as images (as_images=True), "
                "or switch that off (processor_kwargs.NAME=VALUE)"
            )


class _NoVideo:
    """What a question is asked about alone."""

    fps = 1.0

    def __len__(self) -> int:
        return 0


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
    max_frames: int | None = None,
    fps: float | None = None,
    frame_pixels: int | None = None,
    video_pixels: int | None = None,
    as_images: bool = False,
    frame_times: bool = False,
    answer_by: str = "generate",
    max_new_tokens: int | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    device: str = "cpu",
    dtype: str = "auto",
    attn_implementation: str | None = None,
    quantization: str | None = None,
    rope: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
    temperature: float | None = None,
    top_p: float = 1.0,
    top_k: int = 0,
    samples: int = 1,
    seed: int = 0,
    store_gib: int | float = 0,
    store_disk_gib: int | float = 0,
) -> HuggingFace:
    """Load a folder or a hub name. Raises UserError saying what is missing.

    Of how a video is shown and asked about, `Settings` says more; of how a checkpoint is loaded, `Loading`.
    `trust_remote_code` runs Python that comes with the checkpoint: never unless you pass it. `device_map` (auto,
    balanced, sequential …) spreads one model over the GPUs at hand, whatever `device` says. `seed` is that of the first
    reply drawn, the next one's is one higher; without a `temperature` it changes nothing. `store_gib` and
    `store_disk_gib` keep so much of the features of frames for later questions, for the models of `SharedVision`.
    """
    settings = Settings(
        max_frames, fps, frame_pixels, video_pixels, as_images, frame_times, answer_by, max_new_tokens,
        processor_kwargs or {}, chat_template_kwargs or {}, temperature, top_p, top_k, samples,
    )  # fmt: skip
    if quantization is not None and device_map is None:
        device_map = device  # quantised weights are placed as they are loaded, and cannot be moved
    loading = Loading(dtype, attn_implementation, trust_remote_code, device_map, quantization, rope or {})
    model, processor = load_pretrained(pretrained, loading)
    placed = (model if device_map is not None else model.to(device)).eval()
    adapter = HuggingFace(placed, processor, settings, seed, make_store(store_gib, store_disk_gib))
    model.generation_config = _decoding(
        model.generation_config, max_new_tokens or adapter.default_new_tokens(), settings.drawing()
    )
    return adapter


def _decoding(shipped: Any, max_new_tokens: int, drawing: Mapping[str, Any]) -> Any:
    """Return decoding with the checkpoint's special tokens and none of its temperatures or penalties."""
    tokens = {name: vars(shipped)[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return type(shipped)(do_sample=bool(drawing), num_beams=1, max_new_tokens=max_new_tokens, **drawing, **tokens)


@contextmanager
def _drawing_from(name: str, device: torch.device) -> Iterator[None]:
    """Draw from a name and nothing else; `transformers` draws from torch's global generator, which is put back."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _largest(most: int, fits: Any) -> int:
    """Return the largest number up to `most` that fits, 0 if none does; what is smaller fits, too."""
    if most == 0 or fits(most):
        return most
    low, high = 0, most  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _sha256(text: str) -> str:
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"
