"""Vision features that are found are those that would be computed, in the towers for which `huggingface` keeps them."""

from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from baselines.huggingface import load
from baselines.huggingface.shared_vision import TOGETHER, TOWERS, SharedVision
from niah.adapters.feature_store import FeatureStore
from niah.types import Question, UserError
from tests.helpers import tiny_huggingface

SIDE = 8  # patches a side
WIDTHS = {"hidden_size": 32, "num_heads": 2, "depth": 2, "patch_size": 4, "temporal_patch_size": 2, "in_channels": 3}
OWN = {  # what a tower's config has besides
    "Qwen2": {"embed_dim": 32, "mlp_ratio": 2},
    "Qwen2_5_": {"intermediate_size": 48, "out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1]},
    "Qwen3": {"intermediate_size": 48, "out_hidden_size": 32, "num_position_embeddings": 64},
    "Glm4v": {"intermediate_size": 48, "out_hidden_size": 32, "image_size": 64},
}
MODELS = {  # where a tower is
    "Qwen2": ("qwen2_vl",),
    "Qwen2_5_": ("qwen2_5_vl",),
    "Qwen3": ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    "Glm4v": ("glm4v", "glm4v_moe"),
}
QUESTION = Question("Which?", ("one", "two"))


def tower(name):
    """Return a tiny tower with random weights."""
    family, own = next((family, OWN[family]) for family in sorted(OWN, reverse=True) if name.startswith(family))
    modules = (import_module(f"transformers.models.{model}.modeling_{model}") for model in MODELS[family])
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
    deep = {"deepstack_visual_indexes": [0]} if name.startswith("Qwen3VL") else {}
    torch.manual_seed(0)
    model = kind(kind.config_class(**WIDTHS, **own, **deep)).eval()
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)  # attention that matters
    return model


def features(model, pixels):
    """Return all features of a video (temporal patches, spatial patches, pixels)."""
    grid = torch.tensor([[len(pixels), SIDE, SIDE]])
    if type(model).__name__.startswith("Glm"):  # which wants a row for each temporal patch
        grid = torch.tensor([[1, SIDE, SIDE]] * len(pixels))
    with torch.inference_mode():
        made = model(pixels.flatten(0, 1), grid_thw=grid, return_dict=True)
    return torch.cat([made.pooler_output, *(made.get("deepstack_features") or ())], -1)


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.filterwarnings("ignore")
def test_a_temporal_patch_has_the_same_features_alone_found_and_in_a_long_video(name):
    model = tower(name)
    pixels = torch.randn(2 * TOGETHER + 3, SIDE**2, 3 * 2 * 4 * 4)
    whole = features(model, pixels)
    shared = SharedVision(model, FeatureStore(1 << 30, 0, "."))
    part = features(model, pixels[5:9])
    assert shared.reused == 0
    shared.reused = None
    mixed = features(model, pixels)
    assert shared.reused == pytest.approx(4 / len(pixels))
    assert torch.equal(features(model, pixels), mixed) and torch.equal(features(model, pixels[5:9]), part)
    assert (mixed - whole).abs().max() < 1e-5 * whole.abs().max()
    tokens = SIDE**2 // 4
    assert torch.equal(mixed[5 * tokens : 9 * tokens], part)


class Film:
    """Random frames by name, two a second."""

    fps, decode_seconds = 2.0, 0.0

    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def announce(self, indices):
        pass

    def keys(self, start, stop):
        return self.numbers[start:stop]

    def frames(self, indices):
        draw = lambda number: np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)  # noqa: E731
        return np.stack([draw(self.numbers[index]) for index in indices])


HAYSTACK = [*range(40)]
FILMS = (
    HAYSTACK,
    [*range(20), 90, 91, 92, 93, *range(20, 36)],
    [*range(7), 90, 91, 92, *range(7, 37)],
    [],
    HAYSTACK,
)


@pytest.mark.parametrize("answer_by", ["texts", "generate"])
@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_vl"])
def test_answers_are_those_of_a_model_that_shares_nothing(tmp_path, name, answer_by):
    folder = str(getattr(tiny_huggingface, name)(tmp_path / name))
    said = {}
    for gib in (0, 1):
        adapter = load(folder, answer_by=answer_by, max_new_tokens=6, store_gib=gib)
        said[gib] = [adapter.answer(Film(list(numbers)), QUESTION) for numbers in FILMS]
    assert [one.text for one in said[0]] == [one.text for one in said[1]]
    assert [one.option_scores for one in said[1]] == [pytest.approx(one.option_scores, abs=1e-5) for one in said[0]]
    assert [one.reused_frames for one in said[0]] == [0] * 5
    # An even needle leaves the pairs of frames around it as they were, an odd one makes others of all that follow.
    assert [one.reused_frames for one in said[1]] == [0, 36, 6, 0, 40]
    assert said[1][0].option_scores == said[1][4].option_scores  # to the bit


def test_a_model_whose_tower_is_not_known_is_refused(tmp_path):
    folder = str(tiny_huggingface.llava_onevision(tmp_path / "model"))
    with pytest.raises(UserError, match="store_gib and store_disk_gib keep .* LlavaOnevision.* is none of them"):
        load(folder, store_gib=1)
