"""One recorded run, recomputed: every tensor that was recorded, by its name.

Nothing here has a size of its own: frames, keyframes, widths and lengths are the folder's. The
sequence is streamed, in chunks that need not divide the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from niah.adapters.qwen import generate_greedily
from vilamp.merge import anchors
from vilamp.release.composer import Hidden
from vilamp.release.model import ReleasedVilamp
from vilamp.release.stream import Merger

CHUNK = 7  # frames; prefill goes in chunks of as many tokens times eight


@dataclass
class RecordedRun:
    """One video and prompt through one model; everything is computed when first asked for."""

    model: ReleasedVilamp
    inputs: Mapping[str, Tensor]
    selector: bool  # False: no query, every frame is a keyframe

    @property
    def count(self) -> int:
        """Frames."""
        return len(self.inputs["siglip_pixel_values"])

    @cached_property
    def clip(self) -> Float[Tensor, "frames clip"]:
        """CLIP's embeddings of the frames."""
        chunks = self.inputs["clip_pixel_values"].split(CHUNK)
        return torch.cat([self.model.encode_clip(chunk) for chunk in chunks])

    @cached_property
    def query(self) -> Float[Tensor, " clip"]:
        """CLIP's embedding of the question."""
        return self.model.encode_query(self.inputs["clip_input_ids"], self.inputs.get("clip_attention_mask"))

    @cached_property
    def selected(self) -> tuple[list[int], list[int]]:
        """Keyframes before and after gap filling."""
        everything = list(range(self.count))
        return self.model.select(self.clip, self.query) if self.selector else (everything, everything)

    @cached_property
    def pixels(self) -> Float[Tensor, "frames 3 side side"]:
        """What SigLIP sees: frames, or a grey picture where the old mask hides one."""
        pixels = self.inputs["siglip_pixel_values"]
        if self.model.behaviour.legacy_mask:
            pixels = pixels.clone()
            pixels[[n for n in range(self.count) if n not in self.selected[1]]] = 0
        return pixels

    @cached_property
    def patches(self) -> Float[Tensor, "frames patches dim"]:
        """SigLIP's patches."""
        return torch.cat([self.model.encode_patches(chunk) for chunk in self.pixels.split(CHUNK)])

    @cached_property
    def hidden(self) -> Hidden:
        """Patches between the projector's maps."""
        return self.model.compose.hidden(self.patches)

    @cached_property
    def merger(self) -> Merger:
        """A merger that has read every frame and keeps every anchor."""
        merger = Merger(self.model, self.selected[1], self.count, self.query)
        merger.last_use = dict.fromkeys(merger.anchors, self.count)
        if not merger.averages:
            merger.query = self.model.compose.map_query(self.query)
            merger.keep_anchors(0, self.patches, self.hidden)
        return merger

    @cached_property
    def saliency(self) -> tuple[Float[Tensor, "frames patches"], Float[Tensor, "frames patches"]]:
        """R and T of every frame, keyframes too."""
        return self.merger.saliency(range(self.count), self.patches, self.hidden)

    @cached_property
    def embeds(self) -> Float[Tensor, "tokens width"]:
        """The whole sequence as streamed, cut where the checkpoint says."""
        ids, kept = self.inputs["input_ids"].flatten().tolist(), self.selected[1]
        whole, room = self.model.sequence(ids, self.model.visual_tokens(self.count, len(kept)), cut=True)
        wanted = self.patches[self.model.with_patches(kept, self.count)]
        query = self.query if self.selector else None
        self.model.write_video(room, self.model.tokens(kept, self.clip, query, wanted.split(CHUNK)))
        return self.model.truncate(whole)

    @cached_property
    def language(self) -> Any:
        """The language model's whole output."""
        return self.model.language(inputs_embeds=self.embeds[None], output_hidden_states=True)

    def first_block(self) -> Float[Tensor, "1 tokens width"]:
        """Return the output of the language model's first block, before any final norm."""
        seen: list[Any] = []
        hook = self.model.language.model.layers[0].register_forward_hook(lambda _, __, out: seen.append(out))
        self.model.language.model(inputs_embeds=self.embeds[None])
        hook.remove()
        return seen[0][0] if isinstance(seen[0], tuple) else seen[0]

    def merged(self) -> Float[Tensor, "frames width"]:
        """Return one token a frame, keyframes too."""
        if self.model.behaviour.composer == "single_token":
            assert self.model.composer is not None  # built with it
            return self.model.composer(self.clip)
        return self.merger.merge(range(self.count), self.patches, self.hidden)

    def weights(self) -> Float[Tensor, "frames patches"]:
        """Return the weights of Eq. 9."""
        relevance, redundancy = self.saliency
        return ((relevance - redundancy) / self.model.compose.temperature).softmax(-1)

    def tower(self) -> Float[Tensor, "states patches dim"]:
        """Return SigLIP's states of frame 0: embeddings, then after each block."""
        states = [self.model.vision.embeddings(self.pixels[:1].to(self.model.device))]
        for layer in self.model.vision.encoder.layers:
            states.append(layer(states[-1]))
        return torch.cat(states)

    def anchor_index(self) -> Int[Tensor, " frames"]:
        """Return each frame's anchor; before the first keyframe, itself."""
        found = anchors(self.selected[1], self.count, self.model.behaviour.anchor == "frame_number")
        return torch.tensor([n if anchor < 0 else anchor for n, anchor in enumerate(found)])

    def mask(self, frames: list[int]) -> Int[Tensor, " frames"]:
        """Return 1 for the frames named, else 0."""
        return torch.tensor([int(n in frames) for n in range(self.count)])

    def generated(self, count: int) -> list[int]:
        """Return as many greedy ids, by chunked prefill and cached steps."""
        return generate_greedily(self.model.language, self.embeds, count, chunk=8 * CHUNK)

    def layers(self, count: int) -> Float[Tensor, "{count} tokens width"]:
        """Return the language model's states: input, after block 1, ..., the last after the final norm."""
        states = self.language.hidden_states
        chosen = states if len(states) == count else [states[0], self.first_block(), states[-1]]
        return torch.cat(list(chosen))

    def of_keyframes(
        self, every: Float[Tensor, "frames ..."], want: Float[Tensor, "recorded ..."]
    ) -> Float[Tensor, "recorded ..."]:
        """Return the rows of the keyframes alone where no others were recorded: `single_token` encodes no others."""
        alone = self.model.behaviour.composer == "single_token" and len(want) == len(self.selected[1])
        return every[self.selected[1]] if alone else every


VALUES: dict[str, Callable[[RecordedRun, Tensor], Tensor]] = {
    "clip_image_embeds": lambda run, _: run.clip,
    "clip_text_embeds": lambda run, _: run.query[None],
    "frame_query_similarity": lambda run, _: normalize(run.clip, dim=-1) @ normalize(run.query, dim=-1),
    "frame_frame_similarity": lambda run, _: normalize(run.clip, dim=-1) @ normalize(run.clip, dim=-1).T,
    "keyframe_mask_greedy": lambda run, _: run.mask(run.selected[0]),
    "keyframe_mask": lambda run, _: run.mask(run.selected[1]),
    "vision_hidden_frame0": lambda run, _: run.tower(),
    "vision_features": lambda run, want: run.of_keyframes(run.patches, want),
    "projected_patches": lambda run, want: run.of_keyframes(run.model.projector(run.patches), want),
    "anchor_frame_index": lambda run, _: run.anchor_index(),
    "patch_query_cosine": lambda run, _: run.saliency[0],
    "patch_anchor_cosine": lambda run, _: run.saliency[1],
    "patch_weights": lambda run, _: run.weights(),
    "merged_tokens": lambda run, _: run.merged(),
    "keyframe_tokens": lambda run, _: run.model.compose.keyframe_tokens(run.hidden[run.selected[1]]),
    "inputs_embeds": lambda run, _: run.embeds,
    "lm_hidden_states": lambda run, want: run.layers(len(want)),
    "logits": lambda run, _: run.language.logits[0],
    "last_logits": lambda run, _: run.language.logits[0, -1],
    "generated_ids": lambda run, want: torch.tensor(run.generated(want.numel())),
}
