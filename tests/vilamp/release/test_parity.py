"""The released numbers, reproduced: the reference folder, folders of other sizes, and what makes parity fail."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from niah.adapters.parity import Parity
from niah.adapters.tensors import tensors, tensors_of
from tests.helpers.commands import parity
from tests.reference_impl.folder import write_folder
from tests.reference_impl.vilamp import Sizes
from vilamp.release.parity.cases import compare_cases
from vilamp.release.parity.compare import compare_runs

REFERENCE = Path(__file__).parents[2] / "reference" / "vilamp"
TINY = REFERENCE / "tiny"
# Tensors that noise cannot be seen in, each with its reason.
UNSEEN = {
    "model.frame_selector.model.logit_scale": "selection needs cosines, not their scale",
    "model.vision_tower.vision_tower.vision_model.post_layernorm.weight": "SigLIP's output is taken before it",
    "model.vision_tower.vision_tower.vision_model.post_layernorm.bias": "SigLIP's output is taken before it",
    **{
        f"{tower}.encoder.layers.{layer}.self_attn.k_proj.bias": "adds one number to all scores of a query: softmax "
        "cancels it (the language model's keys are rotated by position, so theirs count)"
        for tower in (
            "model.frame_selector.model.text_model",
            "model.frame_selector.model.vision_model",
            "model.vision_tower.vision_tower.vision_model",
        )
        for layer in range(2)
    },
}


@pytest.fixture
def folder(tmp_path):
    """A copy of the reference checkpoint that a test may spoil, without the case files above it."""
    return Path(shutil.copytree(TINY, tmp_path / "copy"))


class Gap(Exception):
    """The first comparison that does not agree."""


class FirstGap(Parity):
    """Stops at the first comparison that does not agree."""

    def tensor(self, *arguments):
        super().tensor(*arguments)
        self._stop()

    def equal(self, *arguments):
        super().equal(*arguments)
        self._stop()

    def _stop(self):
        if self.failed and not self.failed[0].startswith("golden"):
            raise Gap(self.failed[0])


def test_the_reference_folder_agrees(capsys):
    assert parity(["vilamp", str(TINY)]) == 0
    said = capsys.readouterr().out
    used = [name for name in said.splitlines() if name.startswith("files used")][0]
    data = [path.name for path in REFERENCE.rglob("*") if path.suffix in (".safetensors", ".npz", ".json")]
    models = {"model.safetensors", "config.json", "siglip_tower.json", "clip_selector.json"}
    assert all(name in used for name in set(data) - models)
    runs = json.loads((TINY / "runs.json").read_text())
    assert len(runs) == 12 and all(f"{run}: greedy ids" in said for run in runs)


OTHERS = [
    Sizes(),  # 67 frames
    Sizes(seed=5, frames=75, keyframes=40, side=31, theta=1e6),  # a grid of 6 x 6
    Sizes(seed=7, frames=3, keyframes=30),  # every frame is a keyframe
]


@pytest.mark.parametrize("sizes", OTHERS, ids=["67 frames", "40 keyframes", "3 frames"])
def test_a_folder_of_other_sizes_agrees_with_the_slow_implementation(tmp_path, sizes):
    write_folder(tmp_path / "other", sizes)
    assert parity(["vilamp", str(tmp_path / "other")]) == 0


@pytest.mark.parametrize("absent", ["golden_variants.safetensors", "runs.json", "composer_single_token.safetensors"])
def test_parity_says_what_it_skips_where_a_file_is_missing(folder, absent, capsys):
    (folder / absent).unlink()
    if absent == "runs.json":
        (folder / "golden_variants.safetensors").unlink()  # nobody says what these runs were
    assert parity(["vilamp", str(folder)]) == 0
    *_, verdict = capsys.readouterr().out.splitlines()
    first = {"golden_variants.safetensors": "k_reached's tensors", "runs.json": "all runs but main"}
    assert f"parts were NOT compared: {first.get(absent, 'single_token')}" in verdict


def test_a_verdict_names_a_golden_tensor_that_was_never_recorded(folder, capsys):
    found = load_file(folder / "golden_main.safetensors")
    del found["inputs_embeds"]
    save_file(found, folder / "golden_main.safetensors")
    assert parity(["vilamp", str(folder)]) == 0
    assert "1 parts were NOT compared: main.inputs_embeds" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["selector_cases.json", "preprocess_fullsize.npz", "inputs.safetensors"])
def test_a_damaged_file_is_refused_by_name(folder, name, capsys):
    whole = next(REFERENCE.rglob(name)).read_bytes()
    (folder / name).write_bytes(whole[:100])
    assert parity(["vilamp", str(folder)]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    "overrides, words",
    [
        ({"max_frames_num": 3}, "runs.json, k_reached: no override is called 'max_frames_num'"),
        ({"first_n_frames": 0}, "first_n_frames must be one of 1..20, got 0"),
        ({"selector": "no"}, "selector must be true or false, got 'no'"),
        (["max_frame_num"], "k_reached and its overrides must be objects"),
    ],
)
def test_a_run_that_would_be_misread_is_refused(folder, overrides, words, capsys):
    runs = json.loads((folder / "runs.json").read_text())
    runs["k_reached"]["overrides"] = overrides
    (folder / "runs.json").write_text(json.dumps(runs))
    assert parity(["vilamp", str(folder)]) == 2
    assert words in capsys.readouterr().err


def test_a_layout_of_other_tensors_differs(tmp_path):
    layout = json.loads((REFERENCE / "checkpoint_layout_7b.json").read_text())
    layout["common"][0]["name"] = "model.image_old_line"
    layout["composer"] = {"average_pooling": []}
    (tmp_path / "checkpoint_layout_7b.json").write_text(json.dumps(layout))
    parity, out = Parity(2e-5), io.StringIO()
    compare_cases(parity, tmp_path)
    assert parity.report(out) == 1
    assert "missing model.image_newline [3584]" in out.getvalue()


@pytest.mark.parametrize(
    "arguments, words",
    [(["nowhere"], "no folder 'nowhere'"), ([str(TINY), "--device", "abc"], "no device 'abc'")],
)
def test_what_cannot_be_compared_is_refused_in_words(arguments, words, capsys):
    assert parity(["vilamp", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_inputs_is_refused_in_words(folder, capsys):
    (folder / "inputs.safetensors").unlink()
    assert parity(["vilamp", str(folder)]) == 2
    assert "holds no inputs.safetensors" in capsys.readouterr().err


def spoil(folder, file, name, change):
    found = load_file(folder / file)
    found[name] = change(found[name].clone())
    save_file(found, folder / file)


def add(value):
    def change(tensor):
        tensor.view(-1)[0] += value
        return tensor

    return change


@pytest.mark.parametrize(
    "file, name, change",
    [
        ("golden_main.safetensors", "logits", add(1e-3)),
        ("golden_main.safetensors", "generated_ids", add(1)),
        ("golden_main.safetensors", "keyframe_mask", add(1)),
        ("golden_variants.safetensors", "truncated.last_logits", add(1e-2)),
        ("golden_main.safetensors", "merged_tokens", lambda tensor: tensor[:-1]),
        ("model.safetensors", "model.composer_projector.tau", add(1e-4)),
    ],
)
def test_any_other_number_fails(folder, file, name, change, capsys):
    spoil(folder, file, name, change)
    assert parity(["vilamp", str(folder)]) == 1
    assert "DIFFER" in capsys.readouterr().out


def test_another_keyframe_in_the_plain_file_fails(folder, capsys):
    runs = json.loads((folder / "runs.json").read_text())
    runs["k_reached"]["keyframes"] = [1, 4, 16]
    (folder / "runs.json").write_text(json.dumps(runs))
    assert parity(["vilamp", str(folder)]) == 1
    assert "k_reached: keyframes" in capsys.readouterr().out


def every_tensor():
    """Name and source of each weight tensor, those of the single_token composer included."""
    extra = tensors_of(TINY / "composer_single_token.safetensors")
    return sorted({**tensors(TINY), **extra}.items())


def seen(name, source, seed):
    """Return True if noise N(0, 1e-3) on one tensor makes parity fail."""
    tensor = source.read()
    noisy = tensor + 1e-3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed))
    try:
        compare_runs(FirstGap(2e-5), TINY, "cpu", {name: dataclasses.replace(source, read=lambda: noisy)})
    except Gap:
        return True
    return False


def test_noise_on_some_tensors_is_seen_but_where_it_cannot_be():
    names = ["lm_head.weight", "model.composer_projector.linear_k.bias", "model.layers.1.self_attn.k_proj.bias"]
    tried = [(name, source) for name, source in every_tensor() if name in [*names, *sorted(UNSEEN)[:1]]]
    assert {name for name, source in tried if not seen(name, source, 0)} == set(sorted(UNSEEN)[:1])


@pytest.mark.simulation
def test_noise_on_every_tensor_is_seen_but_where_it_cannot_be():
    found = every_tensor()
    assert len(found) == 160
    unseen = {name for number, (name, source) in enumerate(found) if not seen(name, source, number)}
    assert unseen == set(UNSEEN)


def test_wrong_cases_fail(tmp_path):
    for file in REFERENCE.glob("*.*"):
        shutil.copy(file, tmp_path)
    cases = json.loads((tmp_path / "gap_filling_cases.json").read_text())
    cases[3]["result"] = [16]
    (tmp_path / "gap_filling_cases.json").write_text(json.dumps(cases))
    parity = Parity(2e-5)
    compare_cases(parity, tmp_path)
    assert parity.failed == ["gap filling, 155 cases"]
    assert parity.report(io.StringIO()) == 1
