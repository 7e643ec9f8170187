"""Memory that lives while a video streams through: what the docstring says, and no more."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from niah.adapters.qwen import prefill
from vilamp.keyframes import select_keyframes
from vilamp.release.bench.subject import TINY, random_model
from vilamp.release.model import VIDEO


class Alive(TorchDispatchMode):
    """Counts the bytes of CPU tensors alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage):
        key = storage._cdata
        if key not in self.known:
            self.known.add(key)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key, size):
        self.known.discard(key)
        self.now -= size


def peak(model, count):
    """Return the peak of bytes alive while `count` frames stream through, weights not counted."""
    chunk = 10  # small, so that the cache outgrows a chunk's activations within these lengths
    pixels = torch.zeros(chunk, 3, 38, 38)
    gc.collect()
    with Alive() as alive, torch.inference_mode():
        embeddings = model.image_newline.new_empty(count, 24)
        for start in range(0, count, chunk):
            embeddings[start : start + chunk] = model.encode_clip(torch.zeros(chunk, 3, 32, 32))
        embeddings += torch.linspace(0, 1, count)[:, None]
        query = model.encode_query(torch.arange(9)[None])
        kept = model.select(embeddings, query)[1]
        whole, room = model.sequence([1, VIDEO, 2, 3], model.visual_tokens(count, len(kept)))
        patches = (model.encode_patches(pixels) for _ in range(count // chunk))
        model.write_video(room, model.tokens(kept, embeddings, query, patches))
        prefill(model.language, whole, chunk=64)
    return alive.peak


@pytest.mark.slow
def test_a_further_frame_costs_what_the_docstring_says():
    model = random_model(TINY, "cpu", torch.float32)
    _ = model.compose  # its folded maps are weights
    counts = [500, 2000, 8000]
    peaks = [peak(model, count) for count in counts]
    slope = np.polyfit(counts, peaks, 1)[0]
    assert slope == pytest.approx(model.bytes_per_frame(), rel=0.1)


def test_selection_holds_frames_times_keyframes_and_never_every_pair_of_frames():
    frames = torch.nn.functional.normalize(torch.randn(4000, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    with Alive() as alive:
        assert len(select_keyframes(frames, frames[0], 32, 0.9, keep_ties=True)) == 32
        assert len(select_keyframes(frames, frames[0], 32, -0.99)) < 32  # so every frame is looked at
    assert alive.peak <= 2 * 4000 * 32 * 4  # every pair would take 4000 * 4000 * 4


def test_a_further_frame_is_counted_by_hand():
    # 2 layers x 2 key heads x 16 numbers x keys and values, 64 of the sequence, 24 of CLIP; 4 bytes each
    assert random_model(TINY, "cpu", torch.float32).bytes_per_frame() == (2 * 2 * 16 * 2 + 64 + 24) * 4
