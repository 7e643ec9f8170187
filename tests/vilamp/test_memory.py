"""What an answer holds of each frame is what `vilamp.memory` says; prefill in chunks is prefill."""

import dataclasses
import tracemalloc
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import DynamicCache

from niah.adapters.feature_store import FeatureStore
from niah.adapters.kv_cache import cache_arguments
from niah.media import frame_keys
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.media.writer import write_mp4
from niah.types import FrameKey, Question, Sampling, Source, Span
from tests.helpers.commands import memory as memory_command
from vilamp import checkpoint, config, memory, prefill
from vilamp.adapter import VilampAdapter
from vilamp.model import Vilamp
from vilamp.vocabulary import Vocabulary
from vilamp.without_cache import WithoutCache

WORDS = Vocabulary(("left", "right", "red", "circle"))
QUESTION = Question("Which way does the red circle move?", ("left", "right"))
SIZES = config.VilampConfig(
    keyframes=2,
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=64, intermediate_size=16, layers=6, heads=4, key_value_heads=4),
)


class Keyed:
    """A video of one grey source; knows its keys, and counts what it decodes."""

    fps, decode_seconds = 1.0, 0.0

    def __init__(self, count):
        self.count, self.decoded, self.handed_out = count, 0, set()

    def __len__(self):
        return self.count

    def keys(self, start, stop):
        return [FrameKey("h", str(n), "64x64", "fake 1", n) for n in range(start, stop)]

    def frames(self, indices):
        self.decoded += len(indices)
        grey = (np.array(indices) % 256).astype(np.uint8)[:, None, None, None]
        return np.broadcast_to(grey, (len(indices), 64, 64, 3)).copy()

    def announce(self, indices):
        pass

    def iterate(self, chunk):
        raise NotImplementedError("ViLaMP asks for frames by index")

    def path(self):
        raise NotImplementedError("ViLaMP needs no file")


class Alive(TorchDispatchMode):
    """Follows the bytes of tensors that are alive; what passes within one operation is not seen."""

    def __init__(self):
        super().__init__()
        self.bytes = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.note(tensor.untyped_storage())
        return made

    def note(self, storage):
        if id(storage) not in self.known:
            self.known.add(id(storage))
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self.forget, id(storage), storage.nbytes())

    def forget(self, name, count):
        self.known.discard(name)
        self.bytes -= count


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Vilamp(SIZES, WORDS).eval()


def peak(model, frames, tmp_path):
    alive = Alive()
    adapter = VilampAdapter(model, "weights-0", FeatureStore(1 << 30, 0, tmp_path))
    with alive:
        adapter.answer(Keyed(frames), QUESTION)
    return alive.peak


def test_tensors_grow_by_the_documented_bytes_a_frame(model, tmp_path):
    lengths = (4096, 6144, 8192)  # at 2,048 the encoders' chunk, which does not grow, is still the peak
    slope, _ = np.polyfit(lengths, [peak(model, frames, tmp_path) for frames in lengths], 1)
    said = memory.bytes_per_frame(SIZES)
    assert said["visual token"] + said["keys and values"] == 4 * 64 + 4 * 2 * 6 * 64  # 256 + 3,072
    assert slope == pytest.approx(256 + 3072, rel=0.1)


class Unread(SplicedVideo):
    """A spliced video whose frames hold nothing, so that only what the harness notes of them takes memory."""

    def _read(self, indices):
        return np.empty((len(indices), 0, 0, 3), np.uint8)


@pytest.fixture(scope="module")
def spliced(tmp_path_factory):
    """Return what makes videos of one file of 1,000 frames, shown again and again."""
    folder = tmp_path_factory.mktemp("spliced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        write_mp4(folder / "h.mp4", (np.zeros((16, 16, 3), np.uint8) for _ in range(1000)), Fraction(1))
        index = scan(folder / "h.mp4")
        sources = {"h": Source("h", f"sha256:{index.sha256}", index.path, index.sha256, 1000, 1000.0)}
        decoder, sampling = load_decoder("pyav"), Sampling("1", 16, 16)

        def of(frames):
            timeline = [Span("h", 0, 1000)] * (frames // 1000)
            video = Unread(timeline, sources, sampling, decoder, 1.0, folder / "renders")
            video.keys(0, 1)  # opens and measures the file
            return video

        yield of


def grown(act):
    """Return the bytes that something leaves behind."""
    tracemalloc.start()
    left = act()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del left
    return taken


def test_a_frame_key_takes_what_is_documented(spliced):
    video = spliced(1000)  # whose frames all differ: those that are shown again share their keys
    frame_keys._of_source.cache_clear()
    assert grown(lambda: video.keys(0, 1000)) / 1000 == pytest.approx(memory.KEY, rel=0.1)


@pytest.mark.parametrize("frames", [10_000, 30_000, 100_000])
def test_what_was_handed_out_takes_about_what_is_documented(spliced, frames):
    video = spliced(frames)

    def read():
        for start in range(0, frames, 64):
            video.frames(range(start, min(start + 64, frames)))

    assert grown(read) / frames == pytest.approx(memory.HANDED_OUT, rel=0.35)  # a set doubles now and then
    assert len(video.handed_out) == frames


def test_of_another_compressor_nothing_is_said(tmp_path, capsys):
    torch.manual_seed(0)
    settings = dataclasses.replace(SIZES, compression=config.Compression("mean", 2.0))
    checkpoint.save(Vilamp(settings, WORDS), tmp_path)
    assert memory_command([str(tmp_path)]) == 2
    assert "has the compressor 'mean', and this is about ViLaMP's own" in capsys.readouterr().err


def test_the_command_prints_the_sum(capsys):
    memory_command([])
    lines = capsys.readouterr().out.splitlines()
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines[:-1]) == int(
        lines[-1].split()[-1].replace(",", "")
    )


def whole(model, visual, prompt):
    """Cache and log-probabilities as transformers' own loop makes them."""
    inputs, cache = torch.cat([visual, model.embed(prompt)])[None], DynamicCache()
    output = model.language(inputs_embeds=inputs, **cache_arguments(model.language, cache))
    return cache, output.logits[0, -1].log_softmax(-1)


@pytest.mark.parametrize("chunk", [1, 5, 37, 40, 2048])
@pytest.mark.parametrize("heads", [1, 4])
def test_prefill_in_chunks_gives_the_cache_and_the_logits_of_the_whole(monkeypatch, chunk, heads):
    torch.manual_seed(1)
    language = dataclasses.replace(SIZES.language, key_value_heads=heads, layers=3)
    model = Vilamp(dataclasses.replace(SIZES, language=language), WORDS).eval()
    visual, prompt = torch.randn(37, 64), WORDS.encode("red circle left")
    monkeypatch.setattr(prefill, "CHUNK", chunk)
    with torch.inference_mode():
        cache, got = model.prefill(torch.cat([visual, model.embed(prompt)]))
        wanted, logits = whole(model, visual, prompt)
        assert cache.get_seq_length() == 37 + len(prompt)
        for layer, other in zip(cache.layers, wanted.layers, strict=True):
            torch.testing.assert_close(layer.keys, other.keys, rtol=0, atol=1e-4)
            torch.testing.assert_close(layer.values, other.values, rtol=0, atol=1e-4)
    torch.testing.assert_close(got, logits, rtol=0, atol=1e-4)


def test_an_option_longer_than_the_room_is_refused(model):
    with torch.inference_mode():
        cache, first = model.prefill(torch.cat([torch.randn(3, 64), model.embed(WORDS.encode("red"))]), room=1)
        model.score(cache, first, WORDS.encode("left circle"))
        with pytest.raises(ValueError, match="room for"):
            model.score(cache, first, WORDS.encode("left red circle"))


def test_a_prompt_without_tokens_is_refused(model):
    with torch.inference_mode(), pytest.raises(ValueError, match="at least one token"):
        model.prefill(torch.zeros(0, 64))


def test_without_reuse_every_frame_is_decoded_once_for_each_case_and_answers_are_equal(model, tmp_path):
    store = FeatureStore(1 << 30, 0, tmp_path)
    reusing = VilampAdapter(model, "weights-0", store)
    uncached = WithoutCache(VilampAdapter(model, "weights-0", store), store)
    replies, videos = [], []
    for adapter in (uncached, uncached, reusing):
        videos.append(Keyed(100))
        replies.append(adapter.answer(videos[-1], QUESTION))
    assert [video.decoded for video in videos] == [100, 100, 0]
    assert [reply.reused_frames for reply in replies] == [0, 0, 100]
    assert len({reply.option_scores for reply in replies}) == 1
