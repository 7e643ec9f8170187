"""One function answers for every model: it encodes what the compressor needs, and the small model loads nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from niah.adapters.feature_store import FeatureStore
from tests.helpers.fake_video import FakeVideo
from tests.vilamp.test_adapter import QUESTION, SIZES
from vilamp.adapter import VilampAdapter
from vilamp.compressors.budget import FixedFrames
from vilamp.compressors.pooled import Mean
from vilamp.compressors.whole import TopK, Uniform
from vilamp.model import Vilamp
from vilamp.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import sys
from vilamp.adapter import load
load(device="cpu")
print(*sorted(name for name in sys.modules if name.startswith(("vilamp.release", "vilamp.compressors."))))
"""
ENCODED = [  # compressor, frames of 100 through CLIP, frames through SigLIP: 16 of the 64 rows of a batch at once
    (None, 112, 112),
    (TopK(FixedFrames(2)), 112, 112),
    (Mean(), 0, 112),
    (Uniform(FixedFrames(2)), 0, 32),  # frames 25 and 75 are rows 25 and 11 of one batch
]


@pytest.mark.parametrize("compressor, clip, siglip", ENCODED)
def test_only_the_features_a_compressor_needs_are_encoded(monkeypatch, tmp_path, compressor, clip, siglip):
    torch.manual_seed(0)
    model = Vilamp(SIZES, Vocabulary(("left", "right"))).eval()
    encoded = {"clip": 0, "siglip": 0}

    def counted(name, encode):
        def count(frames):
            encoded[name] += len(frames)
            return encode(frames)

        return count

    monkeypatch.setattr(model, "encode_embeddings", counted("clip", model.encode_embeddings))
    monkeypatch.setattr(model, "encode_patches", counted("siglip", model.encode_patches))
    adapter = VilampAdapter(model, "weights-0", FeatureStore(1 << 30, 0, tmp_path), compressor)
    adapter.answer(FakeVideo(("h", 0, 100)), QUESTION)
    assert encoded == {"clip": clip, "siglip": siglip}


def test_the_small_model_imports_neither_the_release_nor_other_compressors():
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["vilamp.compressors.differential"], done.stderr
