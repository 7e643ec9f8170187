"""A released ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys.

Asks with the harness's prompt, or its scripts', in the release's chat format and decodes greedily. A question without
video (a blind case) is asked without the video's place. Where the release would cut the end of a long
sequence away, and the question with it, this refuses: the case becomes a record with status `error`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache

from niah.adapters.attention import capture_attention
from niah.adapters.checkpoint import locate
from niah.adapters.compressor import EMBEDDING, PATCHES, Choice, Settings, TokenChunk
from niah.adapters.feature_store import FeatureStore
from niah.adapters.generation import GREEDY, Generation, read_generation
from niah.adapters.options import read_options, resolve_dtype
from niah.adapters.qwen import continue_prompt, finish_reason, prefill
from niah.adapters.sampled_video import SampledVideo
from niah.adapters.spread import check_device_map, first_device
from niah.integrations.benchmarks.frames import release_frames
from niah.integrations.benchmarks.prompts import in_style
from niah.prompt import format_prompt
from niah.run.attention import VisualAttention
from niah.settings import positive_int, unknown_name
from niah.types import Question, Reply, UserError, Video
from vilamp.answer import ModelAnswer, Prompt, answer_video
from vilamp.features import FrameEncoder, FrameFeatures
from vilamp.release.behaviour import Behaviour
from vilamp.release.config import read_release
from vilamp.release.load import cut_vocabulary, from_release, weights_id
from vilamp.release.model import VIDEO, ReleasedVilamp
from vilamp.release.pixels import clip_pixels, siglip_pixels
from vilamp.release.text import ReleaseText

BATCH = 32  # frames encoded at a time
COMPOSED = 8  # frames merged at a time


@dataclass(frozen=True)
class ReleaseOptions:
    """How a released model is asked; the defaults are the harness's."""

    max_new_tokens: int = 16
    prompt: str = "harness"  # or release: the sentence of its scripts
    frames: str = "all"  # or release: every int(fps)-th frame, at most 600, thinned evenly

    def __post_init__(self) -> None:
        positive_int("max_new_tokens", self.max_new_tokens)
        for name in ("prompt", "frames"):
            known = ("harness" if name == "prompt" else "all", "release")
            if getattr(self, name) not in known:
                raise UserError(unknown_name(f"setting of {name}", str(getattr(self, name)), known))

    def shown(self, video: Video) -> Video:
        """Return the video of the frames that are shown. Raises UserError below one frame a second."""
        if self.frames == "all" or not len(video):
            return video
        sampled = SampledVideo(video, release_frames(video.fps, len(video)))
        return sampled  # pyright: ignore[reportReturnType]  # what it counts is the whole video's, and only read


class ReleaseAdapter:
    """Generates a reply to the video and the question."""

    last_stage = "generate"

    def __init__(
        self,
        model: ReleasedVilamp,
        name: str,
        store: FeatureStore,
        text: ReleaseText,
        asking: ReleaseOptions,
        generation: Generation = GREEDY,
    ) -> None:
        self.model, self.text, self.asking, self.limit = model, text, asking, asking.max_new_tokens
        self.generation = generation
        self.features = FrameFeatures(frame_encoder(model, name), store)
        merges_patches = len(model.with_patches([], 1)) > 0  # of frames that are no keyframes
        self.needs = (EMBEDDING, PATCHES) if merges_patches else (EMBEDDING,)

    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model replies, and what that cost. Raises UserError where the sequence is too long."""
        shown = self.asking.shown(video)
        reply = answer_video(self, shown, in_style(question, self.asking.prompt))
        if not isinstance(shown, SampledVideo):
            return reply
        used, kept = (tuple(shown.numbers[n] for n in each) for each in (reply.frames_used, reply.frames_kept))
        return dataclasses.replace(reply, frames_used=used, frames_kept=kept)

    @torch.inference_mode()
    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the words behind the video attend to; a token's features are what the language model reads.

        Raises UserError without a video, or where the sequence is too long.
        """
        if not len(video):
            raise UserError("attention is reported for a video's tokens: ask about a video, not a blind case")
        shown = self.asking.shown(video)
        question = in_style(question, self.asking.prompt)
        features = self.features.of(shown)
        query = self.encode_query(question)
        embeddings = features.embeddings(self.needs)
        choice = self.select(embeddings, query)
        tokens = list(self.merge(choice, query, embeddings, features.patches(choice.with_patches)))
        prompt = self.prompt(question, choice, iter(tokens)).embeddings
        frames = [number for chunk in tokens for number in chunk.frames]
        first = self._ids(question, video=True).index(VIDEO)
        visual = prompt[first : first + len(frames)]
        if isinstance(shown, SampledVideo):
            frames = [shown.numbers[number] for number in frames]
        return capture_attention(self.model.language, prompt, first, frames, visual, int(self.model.behaviour.newline))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of what the SigLIP tower sees."""
        return self.model.config.siglip_picture.side

    def encode_query(self, question: Question) -> Float[Tensor, " dim"]:
        """Return CLIP's embedding of the bare question. Raises UserError where it is empty."""
        return self.model.encode_query(self.text.query(question.text))

    def select(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """See all frames; select keyframes by Algorithm 1 and what the release adds to it."""
        count = len(embeddings)
        kept = self.model.select(embeddings, query)[1] if count else []
        return Choice(range(count), kept, self.model.with_patches(kept, count))

    def merge(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        embeddings: Float[Tensor, "frames dim"],
        patches: Iterable[Float[Tensor, "_frames patches width"]],
    ) -> Iterator[TokenChunk]:
        """Yield the tokens of keyframes and of merged frames, a few frames at a time."""
        parts = (part for chunk in patches for part in chunk.split(COMPOSED))
        return self.model.tokens(choice.kept, embeddings, query, parts)

    def prompt(self, question: Question, choice: Choice, tokens: Iterator[TokenChunk]) -> Prompt:
        """Put the video's tokens into the place the chat format has for them. Raises UserError for a long sequence."""
        frames = len(choice.seen)
        ids = self._ids(question, video=frames > 0)
        if not frames:
            self.model.refuse_longer(len(ids), 0)
            return Prompt(self.model.embed(ids), len(ids))
        embeddings, room = self.model.sequence(ids, self.model.visual_tokens(frames, len(choice.kept)))
        self.model.write_video(room, tokens)
        return Prompt(embeddings, len(embeddings))

    def prefill(self, prompt: Prompt) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Read the prompt; return the cache and the logits of the next token."""
        return prefill(self.model.language, prompt.embeddings, room=self.limit)

    def reply(
        self, question: Question, prompt: Prompt, cache: Cache, first: Float[Tensor, " vocabulary"]
    ) -> ModelAnswer:
        """Return the text that greedily follows the prompt."""
        logits = first.to(self.device)
        stops = self.text.stop_ids | self.generation.end_ids
        ids = continue_prompt(self.model.language, cache, logits, self.limit, stops, self.generation.chooser())
        return ModelAnswer(self.text.decode(ids), finish_reason=finish_reason(ids, self.limit))

    def settings(self) -> Settings:
        """Return what is computed, for every record: behaviour, K, threshold, limit, dtype, weights."""
        config = self.model.config
        return {
            **{f"behaviour.{name}": value for name, value in dataclasses.asdict(config.behaviour).items()},
            "keyframes": config.keyframes,
            "threshold": config.threshold,
            "longest": config.longest,
            **dataclasses.asdict(self.asking),
            **self.generation.settings(),
            "weights": self.features.encoder.name,
        }

    def _ids(self, question: Question, video: bool) -> list[int]:
        return self.text.prompt(format_prompt(question), video=video)


def frame_encoder(model: ReleasedVilamp, weights_id: str) -> FrameEncoder:
    """Return how a released model encodes frames.

    Features are stored in the model's dtype: 1.7 MB of patches a frame at full size, 16.8 GB for 10,000 frames.
    """
    config = model.config

    def encode(frames: np.ndarray, rows: Sequence[int], kinds: Sequence[str]) -> dict[str, Tensor]:
        features = {}
        for kind in kinds:
            if kind == EMBEDDING:
                pixels = _in_rows(clip_pixels(frames, config.clip.picture, model.device), rows)
                features[kind] = model.encode_clip(pixels)[list(rows)]
            else:
                pixels = _in_rows(siglip_pixels(frames, config.siglip_picture, model.device), rows)
                features[kind] = model.encode_patches(pixels)[list(rows)]
        return features

    numbers = config.patches * config.siglip.hidden_size + config.clip.width  # of a frame
    return FrameEncoder(
        name=f"{weights_id}/{model.dtype}",
        dtype=model.dtype,
        device=model.device,
        batch=BATCH,
        embedding_dim=config.clip.width,
        frame_bytes=numbers * model.dtype.itemsize,
        encode=encode,
    )


def _in_rows(pixels: Float[Tensor, "frames 3 side side"], rows: Sequence[int]) -> Float[Tensor, "batch 3 side side"]:
    """Return a whole batch of pixels, the given frames in their rows."""
    batch = pixels.new_zeros(BATCH, *pixels.shape[1:])
    batch[list(rows)] = pixels
    return batch


def load_released(
    name: str,
    device: str,
    store: FeatureStore,
    constants: Mapping[str, Any],
    settings: Mapping[str, Any],
    known: Sequence[str],
) -> ReleaseAdapter:
    """Load a released checkpoint with its tokenizer. Raises UserError for what does not fit, tokenizer included.

    Args:
        name: A folder or a hub name.
        device: Where to run.
        store: Where features of frames are kept.
        constants: K (`keyframes`), tau (`threshold`) and alpha (`temperature`) in place of the checkpoint's, or None.
        settings: `dtype`, `behaviour`, `device_map`, fields of `ReleaseOptions`, and single fields of the behaviour.
        known: Settings that every checkpoint takes, for the message about one that is misspelt.
    """
    taken = {"dtype": "auto", "behaviour": "release", "device_map": None}
    own = {**taken, **settings}
    asked = {field.name: own.pop(field.name) for field in fields(ReleaseOptions) if field.name in own}
    if own.get("too_long", "refuse") != "refuse":
        raise UserError("too_long=cut would cut the question away: the adapter refuses such cases instead")
    known = [*known, *taken, *(field.name for kind in (ReleaseOptions, Behaviour) for field in fields(kind))]
    for setting in settings:  # before anything is read
        if setting not in known:
            raise UserError(unknown_name("setting of a released checkpoint", setting, known))
    asking = read_options(ReleaseOptions, "a released checkpoint", asked)
    check_device_map(own["device_map"])
    device = first_device(device, own["device_map"])
    if constants["keyframes"] is not None:
        positive_int("keyframes", constants["keyframes"])
    if constants["temperature"] is not None:
        own["temperature"] = constants["temperature"]  # a field of the behaviour
    folder = locate(name)
    keys = {"max_frame_num": constants["keyframes"], "f2f_thrd": constants["threshold"]}
    overrides = {key: value for key, value in keys.items() if value is not None}
    text, generation = ReleaseText(folder, read_release(folder, overrides).clip), read_generation(folder)
    dtype = resolve_dtype(own.pop("dtype"), device, torch.bfloat16)
    model = from_release(folder, device, dtype, overrides=overrides, **own)
    cut_vocabulary(model, text.rows)
    return ReleaseAdapter(model, weights_id(folder), store, text, asking, generation)
