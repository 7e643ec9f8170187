"""Reading a released LLaMA-VID: what loads, and what is refused in which words."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from baselines.llama_vid import config, model
from niah.types import UserError
from tests.helpers.tiny_llama_vid import CHECKPOINT, change, configure

QUERY = "model.vlm_att_query"
TOWER = "eva_vit.safetensors"
INV_FREQ = "model.layers.{}.self_attn.rotary_emb.inv_freq"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def load(folder, **settings):
    return model.load(folder, model.read_sizes(folder), **settings)


# ---- what loads


def test_tower_comes_from_its_own_file_even_where_the_checkpoint_has_one(folder):
    prefix = "model.vision_tower.vision_tower."
    change(folder, lambda state: state.update({prefix + "cls_token": torch.full((1, 1, 48), 5.0)}))
    wanted = load_file(folder / TOWER)["cls_token"]
    assert load(folder).vision_tower.cls_token.tolist() == wanted.tolist()


def test_tower_with_a_40th_block_and_a_head_loads_without_them(folder):
    def edit(state):
        state.update({name.replace("blocks.2", "blocks.3"): state[name].clone() for name in list(state)})
        state["head.weight"] = torch.zeros(3, 48)

    assert len(load(change(folder, edit, TOWER)).vision_tower.blocks) == 3


def test_pickled_shards_and_tower_load_as_the_release_ships_them(folder):
    state = load_file(folder / "model.safetensors")
    shards = {name: f"pytorch_model-0000{1 + number % 2}-of-00002.bin" for number, name in enumerate(sorted(state))}
    for shard in set(shards.values()):
        torch.save({name: state[name] for name in state if shards[name] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": shards}))
    torch.save(load_file(folder / TOWER), folder / "eva_vit_g.pth")
    for file in ("model.safetensors", TOWER):
        (folder / file).unlink()
    found, wanted = load(folder).state_dict(), model.load(CHECKPOINT, model.read_sizes(CHECKPOINT)).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_frequencies_stay_in_single_precision_when_weights_are_cast(folder):
    model = load(folder, dtype=torch.float16)
    assert model.dtype == torch.float16
    assert model.rotary.exact.dtype == model.rotary.stored.dtype == torch.float32


def test_frequencies_of_the_checkpoint_are_kept_as_they_were_rounded(folder):
    rounded = torch.tensor([1.0, 0.1, 0.01, 0.001]).bfloat16()
    change(folder, lambda state: state.update({INV_FREQ.format(layer): rounded.clone() for layer in range(3)}))
    model = load(folder)
    assert model.rotary.stored.tolist() == rounded.float().tolist()
    assert model.rotary.exact.tolist() != model.rotary.stored.tolist()


def test_checkpoint_without_frequencies_turns_by_the_exact_ones(folder):
    change(folder, lambda state: [state.pop(INV_FREQ.format(layer)) for layer in range(3)])
    model = load(folder)
    assert model.rotary.stored.tolist() == model.rotary.exact.tolist()


def test_tower_may_be_named(folder, tmp_path):
    (folder / TOWER).rename(tmp_path / "elsewhere.safetensors")
    assert load(folder, tower=str(tmp_path / "elsewhere.safetensors")).config.vision.blocks == 3


# ---- what is refused


def drop(name):
    return lambda state: state.pop(name)


DAMAGE = [
    ("model.safetensors", drop(QUERY), f"missing {QUERY} "),
    ("model.safetensors", drop("lm_head.weight"), r"missing lm_head.weight"),
    ("model.safetensors", lambda state: state.update(extra=torch.zeros(2)), "unexpected extra"),
    ("model.safetensors", lambda state: state.update({QUERY: torch.zeros(1, 4, 24)}), r"shape \[1, 4, 24\], the"),
    ("model.safetensors", lambda state: state[QUERY].fill_(float("nan")), f"NaN or infinity.*\n.*{QUERY}"),
    ("model.safetensors", lambda state: state[model.POSITION_IDS].fill_(3), "position_ids must count up from 0"),
    ("model.safetensors", lambda state: state[INV_FREQ.format(0)].neg_(), "must hold 4 positive numbers"),
    ("model.safetensors", lambda state: state[INV_FREQ.format(1)].mul_(2), "layers.1.*differ from model.layers.0"),
    (TOWER, drop("cls_token"), "missing cls_token"),
    (TOWER, lambda state: state.update(pos_embed=torch.zeros(1, 26, 48)), r"pos_embed has shape \[1, 26, 48\]"),
]


@pytest.mark.parametrize("file, edit, words", DAMAGE)
def test_damaged_weights_are_refused_by_name(folder, file, edit, words):
    change(folder, edit, file)
    with pytest.raises(UserError, match=words):
        load(folder)


@pytest.mark.parametrize("file", ["model.safetensors", TOWER])
def test_truncated_file_is_refused_with_its_name(folder, file):
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=file):
        load(folder)


def test_missing_tower_says_what_file_and_where_to_put_it(folder):
    (folder / TOWER).unlink()
    with pytest.raises(UserError, match="eva_vit_g.pth of LAVIS; put it there .* or name it by tower=FILE"):
        load(folder)
    with pytest.raises(UserError, match="no file 'nowhere.pth'"):
        load(folder, tower="nowhere.pth")


def test_missing_bert_says_what_to_download(folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.rmtree(folder / "bert")
    with pytest.raises(UserError, match="no folder 'nowhere'"):
        model.read_sizes(folder, bert="nowhere")


CONFIGS = [
    ({"bert_type": "raw_bert"}, "only Q-Former checkpoints are known"),
    ({"compress_type": "grid:9"}, "compress_type is mean, grid:1 to grid:4, or absent, got 'grid:9'"),
    ({"mm_projector_type": "linear"}, "mlp<layers>x_gelu, got 'linear'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "scales RoPE linearly or not at all"),
    ({"rope_scaling": {"type": "linear"}}, "factor must be a positive number, and is not there"),
    ({"mm_use_im_start_end": True}, "mm_use_im_start_end is True, only False is supported"),
    ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature is 'cls_patch', only 'patch'"),
    ({"mm_hidden_size": 1408}, "mm_hidden_size is 1408, but the tower is 48 wide"),
    ({"tiny_vision": {"image_size": 56}}, "tiny_vision in .*patch_size must be a whole number from 1 up, and is not"),
    ({"hidden_size": 0}, "hidden_size must be a whole number from 1 up, got 0"),
    ({"num_hidden_layers": "3"}, "num_hidden_layers must be a whole number from 1 up, got '3'"),
    ({"rms_norm_eps": -1e-5}, "rms_norm_eps must be a positive number, got -1e-05"),
    ({"num_key_value_heads": 3}, "3 key/value heads make no heads"),
    ({"hidden_act": "swiglu"}, "hidden_act must be one of silu, got 'swiglu'"),
    ({"attention_bias": True}, "attention_bias is True, only False is supported"),
    ({"head_dim": 16}, "head_dim is 16, only 8 is supported"),
    ({"compress_type": 3}, "compress_type is mean, grid:1 to grid:4, or absent, got 3"),
    ({"tiny_vision": [1]}, "tiny_vision in config.json must be a JSON object"),
    ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor must be a positive number, got 0"),
]


@pytest.mark.parametrize("values, words", CONFIGS)
def test_config_that_is_not_followed_is_refused(folder, values, words):
    with pytest.raises(UserError, match=words):
        model.read_sizes(configure(folder, **values))


@pytest.mark.parametrize("key", ["hidden_size", "num_query", "bert_type", "mm_projector_type", "eos_token_id"])
def test_missing_key_is_named(folder, key):
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({name: value for name, value in found.items() if name != key}))
    with pytest.raises(UserError, match=rf"config\.json of the checkpoint: .*{key}"):
        model.read_sizes(folder)


def test_patches_that_do_not_tile_the_image_are_refused():
    with pytest.raises(UserError, match="image_size 60, patch_size 14"):
        config.EvaConfig(image_size=60)


def test_checkpoint_that_names_no_tower_sizes_has_the_releases():
    found = json.loads((CHECKPOINT / "config.json").read_text())
    bert = json.loads((CHECKPOINT / "bert" / "config.json").read_text())
    del found["tiny_vision"]
    vision = config.parse({**found, "mm_hidden_size": 1408}, bert).vision
    assert (vision.width, vision.blocks, vision.heads, vision.patches) == (1408, 39, 16, 256)
