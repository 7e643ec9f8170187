"""VideoChat-Flash against numbers recorded from its release, and that the comparison notices every weight."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines.videochat_flash import parity
from baselines.videochat_flash.config import read
from baselines.videochat_flash.model import load, rename
from niah.adapters.config_reader import read_config
from tests.helpers.commands import parity as command
from tests.reference_impl.videochat_flash import Sizes, write_folder

FOLDER = Path(__file__).resolve().parents[2] / "reference" / "videochat_flash"
CHECKPOINT = FOLDER / "tiny_checkpoint"
NAMES = sorted(load_file(CHECKPOINT / "model.safetensors"))
LAST_KEY_BIAS = "model.layers.7.self_attn.k_proj.bias"
OF_THE_MODEL = ("video", "vision", "lm", "truncated", "none")  # golden tensors of one variant and of what leads to it


def part(folder, keep):
    """Write the recorded numbers that depend on weights and that `keep` says, and no rules."""
    tensors = load_file(FOLDER / "golden.safetensors")
    save_file({name: value for name, value in tensors.items() if keep(name)}, folder / "golden.safetensors")
    meta = read_config(FOLDER, "golden_meta.json")
    dropped = [name for name in meta if name in ("uniform_indices", "frame_sampling") or name.startswith("rope.")]
    (folder / "golden_meta.json").write_text(json.dumps({k: v for k, v in meta.items() if k not in dropped}))
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The reference folder with one of its six language-model variants."""
    return part(tmp_path_factory.mktemp("few"), lambda name: name.split(".")[0] in OF_THE_MODEL)


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """The reference folder with all of them."""
    others = ("preproc", "pos224", "pos448", "rope", "tome224", "tome448", "tome_image224")
    return part(tmp_path_factory.mktemp("variants"), lambda name: name.split(".")[0] not in others)


@pytest.fixture(scope="module")
def tiny():
    return load(CHECKPOINT, read(read_config(CHECKPOINT)))


def failed_with_noise(folder, tiny, name, deviation=1e-3):
    """Add seeded noise to one tensor, and return what the comparison finds different."""
    place = rename(name)
    weight = dict(tiny.named_parameters())[place]
    original = weight.data
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(7)) * deviation
    weight.data = original + noise
    try:
        return parity.compare(folder, tiny).failed
    finally:
        weight.data = original


def test_every_recorded_number_agrees_and_every_file_is_used(capsys):
    assert command(["videochat_flash", str(FOLDER)]) == 0
    printed = capsys.readouterr().out
    used = printed.split("files used: ")[1].splitlines()[0].split(", ")
    assert sorted(used) == sorted(path.name for path in FOLDER.rglob("*") if path.is_file())
    for name in load_file(FOLDER / "golden.safetensors"):
        inputs = (".input", ".rows", "frames_uint8", "rope.positions", "lm.input_ids")
        assert name in printed or name.endswith(inputs), name


def test_a_folder_without_layout_memory_and_rules_is_compared(few, tiny):
    assert parity.compare(few, tiny).failed == []


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.k_proj.bias",  # turned by positions, so softmax does not cancel it
        "model.mm_projector.mlp.2.bias",
        "model.vision_tower.vision_tower.encoder.blocks.2.attn.q_bias",
    ],
)
def test_noise_in_a_tensor_is_noticed(few, tiny, name):
    assert failed_with_noise(few, tiny, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - {LAST_KEY_BIAS}))
def test_noise_in_any_tensor_is_noticed_but_for_the_named_one(few, variants, tiny, name):
    assert failed_with_noise(few, tiny, name) or failed_with_noise(variants, tiny, name)


def test_the_named_tensor_is_the_last_layers_key_bias_and_only_little_of_it_goes_unnoticed(variants, tiny):
    assert [name.format(last=7) for name in parity.UNSEEN] == [LAST_KEY_BIAS]
    assert not failed_with_noise(variants, tiny, LAST_KEY_BIAS)
    assert failed_with_noise(variants, tiny, LAST_KEY_BIAS, deviation=1e-2)


def test_a_changed_number_ends_the_command_with_1(few, tmp_path, capsys):
    folder = shutil.copytree(few, tmp_path / "changed")
    shutil.copytree(CHECKPOINT, folder / "tiny_checkpoint")
    tensors = load_file(folder / "golden.safetensors")
    tensors["none.logits"][0, 3, 5] += 1e-3 * tensors["none.logits"].abs().max()
    save_file(tensors, folder / "golden.safetensors")
    assert command(["videochat_flash", str(folder)]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line] == ["none.logits"]


def test_a_golden_tensor_that_nothing_reads_is_a_failure(few, tiny, tmp_path):
    folder = shutil.copytree(few, tmp_path / "more")
    tensors = load_file(folder / "golden.safetensors")
    save_file({**tensors, "vision.more": torch.zeros(1)}, folder / "golden.safetensors")
    assert parity.compare(folder, tiny).failed == ["golden.safetensors: vision.more was compared with nothing"]


def test_a_layout_of_another_model_differs(few, tiny, tmp_path):
    folder = shutil.copytree(few, tmp_path / "other")
    layout = read_config(FOLDER, "checkpoint_layout_7b.json")
    layout["entries"][0]["shape"] = [151936, 3584]
    (folder / "checkpoint_layout_7b.json").write_text(json.dumps(layout))
    assert parity.compare(folder, tiny).failed == ["checkpoint layout, 7b", "checkpoint layout, 7b-224"]


def test_a_folder_that_records_too_little_is_named(few, tmp_path, capsys):
    folder = shutil.copytree(few, tmp_path / "less")
    shutil.copytree(CHECKPOINT, folder / "tiny_checkpoint")
    tensors = load_file(folder / "golden.safetensors")
    del tensors["video.frames_uint8"]
    save_file(tensors, folder / "golden.safetensors")
    assert command(["videochat_flash", str(folder)]) == 2
    assert "less records no 'video.frames_uint8'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sizes", [Sizes(), Sizes(seed=6, clips=1, key_heads=6, grid=6, tower=32, heads_of_tower=4)], ids=["16 a head", "8"]
)
def test_a_folder_of_another_size_agrees_with_an_implementation_of_its_own(tmp_path, sizes, capsys):
    write_folder(tmp_path / "other", sizes)
    assert command(["videochat_flash", str(tmp_path / "other")]) == 0, capsys.readouterr().out
