"""A config that says what a released ViLaMP never computed is refused: key, what was wanted, what came."""

import json
import re
import shutil
from pathlib import Path

import pytest

from niah.types import UserError
from vilamp.release.config import read_release

TINY = Path(__file__).parents[2] / "reference" / "vilamp" / "tiny"
ABSENT = object()


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "siglip_tower.json", "clip_selector.json"):
        shutil.copy(TINY / name, tmp_path)
    return tmp_path


def edit(folder, name, path, value):
    """Set or remove one value, `path` naming the objects on the way to it."""
    found = json.loads((folder / name).read_text())
    *parents, key = path.split("/")
    place = found
    for parent in parents:
        place = place[parent]
    if value is ABSENT:
        del place[key]
    else:
        place[key] = value
    (folder / name).write_text(json.dumps(found))


WHOLE = "must be a whole number from 1 up"
MAIN = [
    ("max_frame_num", 0, f"max_frame_num {WHOLE}, got 0"),
    ("max_frame_num", True, f"max_frame_num {WHOLE}, got True"),
    ("vocab_size", ABSENT, "vocab_size is missing"),
    ("tokenizer_model_max_length", 0, f"tokenizer_model_max_length {WHOLE}, or null for no limit, got 0"),
    ("tokenizer_model_max_length", -5, "tokenizer_model_max_length .* got -5"),
    ("tokenizer_model_max_length", "32768", "tokenizer_model_max_length .* got '32768'"),
    ("max_position_embeddings", 0, f"max_position_embeddings {WHOLE}, got 0"),
    ("max_position_embeddings", "x", "max_position_embeddings .* got 'x'"),
    ("rope_theta", 0, "rope_theta must be a number above 0, got 0"),
    ("rope_theta", ABSENT, "rope_theta is missing"),
    ("rope_parameters", 5, "rope_parameters must be an object, got 5"),
    ("rms_norm_eps", 0, "rms_norm_eps must be a number above 0, got 0"),
    ("rms_norm_eps", -1e-6, "rms_norm_eps must be a number above 0, got -1e-06"),
    ("f2f_thrd", "high", "f2f_thrd must be a number, got 'high'"),
    ("f2t_thrd", None, "f2t_thrd must be a number, got None"),
    ("mm_projector_type", "linear", "mm_projector_type must be 'mlp2x_gelu', as in ViLaMP, got 'linear'"),
    ("mm_patch_merge_type", "flat", "mm_patch_merge_type must be 'spatial_unpad', as in ViLaMP, got 'flat'"),
    ("attention_bias", False, "attention_bias must be True, as in ViLaMP, got False"),
    ("activate_pre_fusion", True, "activate_pre_fusion must be False, as in ViLaMP, got True"),
    ("composer_type", ["sig_pooling"], r"composer_type must be one of .* got \['sig_pooling'\]"),
    ("mm_spatial_pool_mode", "cubic", "mm_spatial_pool_mode must be one of bilinear, .* got 'cubic'"),
    ("mm_spatial_pool_mode", "average", "mm_spatial_pool_stride is missing"),
    ("mm_spatial_pool_stride", "2", f"mm_spatial_pool_stride {WHOLE}, got '2'"),
    ("use_sliding_window", True, "use_sliding_window must be False, as in ViLaMP, got True"),
    ("mm_spatial_pool_stride", 2.5, r"mm_spatial_pool_stride .* got 2\.5"),
    ("num_attention_heads", 5, "hidden_size 64 is no multiple of num_attention_heads 5"),
    ("num_key_value_heads", 3, "num_attention_heads 4 is no multiple of num_key_value_heads 3"),
    ("head_dim", 20, "head_dim must be hidden_size / num_attention_heads = 16, got 20"),
    ("mm_hidden_size", 31, "mm_hidden_size must be 32, the tower's width, got 31"),
]
SIGLIP = [
    ("image_mean", 5, "siglip_tower.json: image_mean must be three numbers, one a colour, got 5"),
    ("image_std", [0.5, 0.5, 0], "image_std must be three positive numbers"),
    ("resample", "bilinear", "siglip_tower.json: resample must be 'bicubic', as in ViLaMP, got 'bilinear'"),
    ("layer_norm_eps", "small", "layer_norm_eps must be a number above 0, got 'small'"),
    ("num_hidden_layers_built", 5, "num_hidden_layers_built must be 3"),
    ("patch_size", 40, "patch_size 40 is larger than image_size 38"),
]
CLIP = [
    ("preprocess", None, "clip_selector.json: preprocess must be an object, got None"),
    ("preprocess/center_crop", 30, "preprocess: center_crop must be 32, as in ViLaMP, got 30"),
    ("preprocess/resample", "nearest", "preprocess: resample must be 'bicubic'"),
    ("preprocess/flip", True, "preprocess: flip is unknown, wanted resize_shortest_edge"),
    ("text_config", 3, "text_config must be an object, got 3"),
    ("text_config/eos_token_id", 7, "eos_token_id must be 2, as in ViLaMP, got 7"),
    ("vision_config/hidden_act", "gelu", "vision_config: hidden_act must be 'quick_gelu'"),
]
ODD = [
    *(("config.json", *row) for row in MAIN),
    *(("siglip_tower.json", *row) for row in SIGLIP),
    *(("clip_selector.json", *row) for row in CLIP),
]


@pytest.mark.parametrize(
    "name, key, value, words",
    ODD,
    ids=[f"{row[1]}={'absent' if row[2] is ABSENT else repr(row[2])}"[:60] for row in ODD],
)
def test_an_odd_value_is_refused_in_words(folder, name, key, value, words):
    edit(folder, name, key, value)
    with pytest.raises(UserError, match=words):
        read_release(folder)


def test_every_odd_value_is_named_at_once(folder):
    edit(folder, "config.json", "rope_theta", -1)
    edit(folder, "config.json", "max_frame_num", "8")
    with pytest.raises(UserError) as caught:
        read_release(folder)
    assert len(re.findall(r"\n  ", str(caught.value))) == 2


def test_a_stride_beyond_the_grid_is_refused_where_it_is_used(folder):
    with pytest.raises(UserError, match="mm_spatial_pool_stride must be at most 7, .* got 50"):
        read_release(folder, {"mm_spatial_pool_mode": "max", "mm_spatial_pool_stride": 50})
    assert read_release(folder, {"mm_spatial_pool_stride": 50}).behaviour.pool == "bilinear"  # which never reads it


def test_without_a_limit_nothing_is_cut_as_in_the_release(folder):
    edit(folder, "config.json", "tokenizer_model_max_length", None)
    assert read_release(folder).longest is None


def test_the_rotary_base_is_found_where_newer_configs_keep_it(folder):
    edit(folder, "config.json", "rope_theta", ABSENT)
    edit(folder, "config.json", "rope_parameters", {"rope_type": "default", "rope_theta": 5000})
    assert read_release(folder).language.rope_theta == 5000


PASSED_OVER = [
    ("mm_newline_position", "grid", r"mm_newline_position 'grid' is not read"),
    ("max_frame_num", ABSENT, "max_frame_num is missing, 32 is taken"),
    ("f2f_thrd", ABSENT, r"f2f_thrd is missing, 0\.85 is taken"),
    ("composer_type", "magic", "composer_type 'magic' is none of sig_pooling, .*: the tensors decide"),
]


@pytest.mark.parametrize("key, value, words", PASSED_OVER, ids=[row[0] for row in PASSED_OVER])
def test_what_the_release_passes_over_is_warned_of(folder, key, value, words):
    edit(folder, "config.json", key, value)
    with pytest.warns(UserWarning, match=words):
        found = read_release(folder)
    assert (found.keyframes, found.threshold) == (32 if key == "max_frame_num" else 8, 0.85)


@pytest.mark.parametrize("key", ["mm_spatial_pool_stride", "use_sliding_window", "head_dim", "composer_proj_dim"])
def test_null_is_what_the_release_makes_of_an_absent_key(folder, key):
    before = read_release(folder)
    edit(folder, "config.json", key, None)
    assert read_release(folder) == before


def test_a_null_stride_is_refused_where_pooling_reads_it(folder):
    edit(folder, "config.json", "mm_spatial_pool_stride", None)
    with pytest.raises(UserError, match="mm_spatial_pool_stride is missing"):
        read_release(folder, {"mm_spatial_pool_mode": "max"})


def test_averaging_over_more_tokens_averages_all_when_it_answers(folder):
    edit(folder, "config.json", "composer_type", "average_pooling_27")
    assert read_release(folder).behaviour.composer == "average_pooling"


def test_an_override_that_nothing_looks_at_is_refused(folder):
    with pytest.raises(UserError, match="no key of config.json is called 'max_frames_num'.*'max_frame_num'"):
        read_release(folder, {"max_frames_num": 3})
