"""LLaMA-VID against the numbers its release made, and that a fault would show."""

import json
import shutil
import zlib
from fnmatch import fnmatchcase

import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines.llama_vid import model, parity
from niah.adapters.checkpoint import mismatches
from niah.adapters.parity import Golden, Parity, expand_layout
from niah.types import UserError
from tests.helpers import tiny_llama_vid
from tests.helpers.commands import parity as main
from tests.helpers.tiny_llama_vid import CHECKPOINT, REFERENCE
from tests.reference_impl.llama_vid import Sizes
from tests.reference_impl.llama_vid_folder import write_folder

NAMES = sorted(load_file(CHECKPOINT / "model.safetensors"))
TOWER = sorted(load_file(CHECKPOINT / "eva_vit.safetensors"))


@pytest.fixture
def reference(tmp_path):
    """Return a copy of the reference with what parity needs and no more."""
    shutil.copytree(CHECKPOINT, tmp_path / "tiny_checkpoint")
    shutil.copy(REFERENCE / "golden.safetensors", tmp_path)
    return tmp_path


def test_every_golden_number_of_the_release_agrees_and_every_file_is_listed(capsys):
    assert main(["llama_vid", str(REFERENCE)]) == 0
    said = capsys.readouterr().out
    files = next(line for line in said.splitlines() if line.startswith("files used: ")).split(": ")[1].split(", ")
    assert set(files) == {path.name for path in REFERENCE.rglob("*") if path.is_file()}
    wanted = load_file(REFERENCE / "golden.safetensors")
    questions = ("query", "short.input_ids", "long.input_ids", "short.pixel", "long.features", "rope_long.positions")
    inputs = ("preproc.frames", "two_videos.features")
    compared = {name for name in wanted if not name.startswith((*questions, *inputs))}
    assert compared <= {line.split(" ")[0] for line in said.splitlines()}


def test_layout_facts_and_memory_files_may_be_absent(reference):
    assert parity.run(reference) == 0


def test_golden_tensor_that_nothing_is_compared_with_fails(reference, capsys):
    file = reference / "golden.safetensors"
    save_file({**load_file(file), "extra.thing": torch.zeros(1)}, file)
    assert parity.run(reference) == 1
    assert "extra.thing was compared with nothing" in capsys.readouterr().out


def test_golden_file_that_nothing_reads_fails(reference, capsys):
    (reference / "golden_more.json").write_text("{}")
    assert parity.run(reference) == 1
    assert "golden_more.json is known" in capsys.readouterr().out


def test_lost_golden_tensor_is_named(reference):
    file = reference / "golden.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if name != "short.keys"}, file)
    with pytest.raises(UserError, match="lacks the tensor 'short.keys'"):
        parity.run(reference)


def test_folder_that_is_no_reference_is_refused(tmp_path):
    with pytest.raises(UserError, match="tiny_checkpoint/ and golden.safetensors"):
        parity.run(tmp_path)


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(seed=4, frames=1, key_heads=6, bert_layers=4, queries=7, factor=2.0)])
def test_a_folder_of_another_size_agrees_with_an_implementation_of_its_own(tmp_path, sizes, capsys):
    write_folder(tmp_path / "other", sizes)
    assert main(["llama_vid", str(tmp_path / "other")]) == 0, capsys.readouterr().out


WRONG_FACTS = [
    ("question", "who is there"),
    ("stop_string", "<|im_end|>"),
    ("prompt_short_video", "USER: <image>"),
    ("image_token_index", -100),
]


@pytest.mark.parametrize("key, value", WRONG_FACTS)
def test_other_facts_than_the_ports_differ(reference, capsys, key, value):
    meta = json.loads((REFERENCE / "golden_meta.json").read_text())
    (reference / "golden_meta.json").write_text(json.dumps({**meta, key: value}))
    assert parity.run(reference) == 1


# ---- the 7B layout


@pytest.fixture(scope="module")
def layout():
    return json.loads((REFERENCE / "checkpoint_layout_7b.json").read_text())


def test_7b_model_has_every_tensor_of_the_release_and_takes_no_memory(layout):
    seven_b = parity.build_seven_b()
    assert {parameter.device.type for parameter in seven_b.parameters()} == {"meta"}
    shapes = expand_layout(layout["entries"])
    assert len(shapes) == 1176
    assert mismatches(seven_b, shapes, model.rename, (model.FREQUENCIES, model.POSITION_IDS)) == []


def test_folded_entries_count_in_steps():
    shapes = expand_layout([{"name": "a.{i}", "shape": [2], "i": "0..10 step 5"}, {"name": "b", "shape": []}])
    assert shapes == {"a.0": (2,), "a.5": (2,), "a.10": (2,), "b": ()}


def test_layout_with_another_shape_is_named(layout):
    shapes = expand_layout(layout["entries"])
    shapes["lm_head.weight"] = (32001, 4096)
    found = mismatches(parity.build_seven_b(), shapes, model.rename, (model.FREQUENCIES, model.POSITION_IDS))
    assert found == ["lm_head.weight has shape [32001, 4096], the config wants [32000, 4096]"]


# ---- noise on any tensor shows


@pytest.fixture(scope="module")
def pair():
    """Return the golden tensors and both models, short-video and long-video."""
    names = ("config.json", "config_long_video.json")
    models = [model.load(CHECKPOINT, model.read_sizes(CHECKPOINT, name)) for name in names]
    return load_file(REFERENCE / "golden.safetensors"), models


def differing(pair, name, place):
    """Add noise of deviation 0.001 to a tensor of both models; return what of the first part to notice differs."""
    golden, models = pair
    parameters = [model.get_parameter(place) for model in models]
    kept = parameters[0].detach().clone()
    noise = 1e-3 * torch.randn(kept.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    for parameter in parameters:
        parameter.data.add_(noise)
    found = Parity(parity.TOLERANCE)
    with torch.inference_mode():
        for part in parity.PARTS:
            part(found, Golden(golden), *models)
            if found.failed:
                break
    for parameter in parameters:
        parameter.data.copy_(kept)
    return found.failed


def unseen(name):
    return any(fnmatchcase(name, pattern) for pattern in parity.UNSEEN)


LEARNED = [name for name in NAMES if not name.endswith(("inv_freq", "position_ids"))]
SEEN = [(name, model.rename(name)) for name in LEARNED if not unseen(name)]
SEEN += [(name, f"vision_tower.{name}") for name in TOWER]


def test_without_noise_nothing_differs(pair):
    golden, models = pair
    found = Parity(parity.TOLERANCE)
    parity.compare(found, Golden(golden), *models)
    assert found.failed == []


def test_seen_and_unseen_tensors_are_all_there_are():
    assert len(SEEN) + sum(map(unseen, NAMES)) + sum("inv_freq" in name for name in NAMES) == len(NAMES) + len(TOWER)
    assert sum(map(unseen, NAMES)) == 4 + 2 + 1  # key biases of 4 layers and of 2 cross-attentions, the positions


@pytest.mark.parametrize("name, place", SEEN[::16])
def test_noise_shows(pair, name, place):
    assert differing(pair, name, place) != []


@pytest.mark.slow
@pytest.mark.parametrize("name, place", [both for number, both in enumerate(SEEN) if number % 16])
def test_noise_on_any_tensor_shows(pair, name, place):
    assert differing(pair, name, place) != []


@pytest.mark.parametrize("name", [name for name in LEARNED if unseen(name)])
def test_noise_on_a_key_bias_is_taken_away_by_the_softmax(pair, name):
    assert differing(pair, name, model.rename(name)) == []


def test_noise_on_positions_that_are_whole_numbers_rounds_away(reference):
    def edit(state):
        noisy = state[model.POSITION_IDS] + 1e-3 * torch.randn(272, generator=torch.Generator().manual_seed(0))
        state[model.POSITION_IDS] = noisy.round().long()

    tiny_llama_vid.change(reference / "tiny_checkpoint", edit)
    assert parity.run(reference) == 0


def test_noise_on_the_rotary_frequencies_of_every_layer_shows(reference, capsys):
    def edit(state):
        noise = 1e-3 * torch.randn(4, generator=torch.Generator().manual_seed(0))
        state.update({name: state[name] + noise.abs() for name in state if name.endswith("inv_freq")})

    tiny_llama_vid.change(reference / "tiny_checkpoint", edit)
    assert parity.run(reference) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert any(line.startswith("long.logits") for line in said)
    assert not any(line.startswith("short.logits") for line in said)  # 22 tokens fit the table made at start-up


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_noise_on_the_rotary_frequencies_of_one_layer_is_refused(reference, layer):
    name = f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"
    tiny_llama_vid.change(reference / "tiny_checkpoint", lambda state: state[name].add_(1e-3))
    assert main(["llama_vid", str(reference)]) == 2
    with pytest.raises(UserError, match="all layers of a LLaMA rotate by the same frequencies"):
        model.load(reference / "tiny_checkpoint", model.read_sizes(CHECKPOINT))
