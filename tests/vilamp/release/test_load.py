"""Released checkpoints load by what lies in the folder, and everything odd about one is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vilamp
from niah.adapters.parity import expand_layout
from niah.types import UserError
from vilamp.release.config import read_release
from vilamp.release.load import build, check_release_layout, composer_of, configured, cut_vocabulary, from_release

REFERENCE = Path(__file__).parents[2] / "reference" / "vilamp"
TINY = REFERENCE / "tiny"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "copy"))


def edit(folder, name="config.json", **values):
    found = json.loads((folder / name).read_text())
    found.update({key: value for key, value in values.items() if value is not None})
    for key in [key for key, value in values.items() if value is None]:
        del found[key]
    (folder / name).write_text(json.dumps(found))


def layout_7b(composer):
    """Every tensor of the 7B layout, rows that stand for several layers written out."""
    found = json.loads((REFERENCE / "checkpoint_layout_7b.json").read_text())
    return found["config_used"], expand_layout([*found["common"], *found["composer"][composer]])


@pytest.mark.parametrize("composer, count", [("sig_pooling", 1172), ("single_token", 1167)])
def test_the_7b_layout_is_satisfied_without_weights(tmp_path, composer, count):
    used, shapes = layout_7b(composer)
    assert len(shapes) == count
    (tmp_path / "config.json").write_text(json.dumps(used))  # no tower files: those of the 7B model
    config = configured(read_release(tmp_path), shapes, "release", {}, {})
    assert config.behaviour.composer == composer
    check_release_layout(config, shapes)
    total = sum(parameter.numel() for parameter in build(config).parameters())
    assert total == {"sig_pooling": 8222010658, "single_token": 8196313377}[composer]


def test_a_layout_that_differs_is_refused_with_every_misfit(tmp_path):
    used, shapes = layout_7b("sig_pooling")
    (tmp_path / "config.json").write_text(json.dumps({**used, "num_hidden_layers": 27}))
    config = configured(read_release(tmp_path), shapes, "release", {}, {})
    with pytest.raises(UserError, match="unexpected model.layers.27.self_attn.q_proj.weight") as caught:
        check_release_layout(config, shapes)
    assert "in 12 places" in str(caught.value)


def test_the_model_is_reached_by_the_name_the_readme_gives():
    model = vilamp.Vilamp.from_release(TINY, device="cpu", dtype=torch.float64)
    assert model.dtype == torch.float64 and model.config.keyframes == 8


@pytest.mark.parametrize(
    "names, composer",
    [
        (["model.composer_projector.linear_iq.weight"], "sig_pooling"),
        (["model.composer_projector.0.weight"], "single_token"),
        (["model.norm.weight"], None),
    ],
)
def test_tensor_names_give_the_composer_away(names, composer):
    assert composer_of(names) == composer


def test_tensor_names_win_over_the_config_and_an_explicit_choice_over_both(folder):
    edit(folder, composer_type="single_token")
    assert from_release(folder).behaviour.composer == "sig_pooling"
    assert from_release(folder, composer="average_pooling").behaviour.composer == "average_pooling"
    with pytest.raises(UserError, match="missing model.composer_projector.0.weight"):
        from_release(folder, composer="single_token")


def test_tensors_decide_where_the_config_names_no_composer_of_a_release(folder):
    edit(folder, composer_type="magic")
    with pytest.warns(UserWarning, match="the tensors decide"):
        assert from_release(folder).behaviour.composer == "sig_pooling"
    spoil(folder, **{f"model__composer_projector__{name}": lambda _: None for name in COMPOSER})
    with pytest.warns(UserWarning), pytest.raises(UserError, match="no tensors of a composer .* by composer=NAME"):
        from_release(folder)
    with pytest.warns(UserWarning):
        assert from_release(folder, composer="average_pooling").behaviour.composer == "average_pooling"


COMPOSER = ["tau", *(f"linear_{name}__{part}" for name in ("q", "k", "iq", "ik") for part in ("weight", "bias"))]


def spoil(folder, **changes):
    found = load_file(folder / "model.safetensors")
    for name, change in changes.items():
        name = name.replace("__", ".")
        tensor = change(found.get(name))
        if tensor is None:
            del found[name]
        else:
            found[name] = tensor
    save_file(found, folder / "model.safetensors")


def test_missing_extra_and_misshapen_tensors_are_reported_together(folder):
    spoil(
        folder,
        model__norm__weight=lambda _: None,
        model__pre_fusion__weight=lambda _: torch.ones(2),
        model__mm_projector__0__bias=lambda found: found[:-1].contiguous(),
        model__image_newline=lambda found: found.int(),
    )
    with pytest.raises(UserError) as caught:
        from_release(folder)
    words = str(caught.value)
    assert "in 4 places" in words
    assert "missing model.norm.weight [64]" in words
    assert "unexpected model.pre_fusion.weight [2]" in words
    assert "model.mm_projector.0.bias has shape [63], the config wants [64]" in words
    assert "model.image_newline holds I32" in words


def test_weights_that_are_nan_are_refused_by_name(folder):
    spoil(folder, model__norm__weight=lambda found: found * float("nan"))
    with pytest.raises(UserError, match=r"NaN or infinity .*\n  model.norm.weight"):
        from_release(folder)


def test_tensors_the_release_never_reads_may_be_there(folder):
    tower = "model__vision_tower__vision_tower__vision_model__"
    for name in ("head__probe", "encoder__layers__2__x"):
        spoil(folder, **{tower + name: lambda _: torch.ones(3)})
    from_release(folder)


def test_a_truncated_file_is_refused_with_its_name(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="model.safetensors is damaged or cut short"):
        from_release(folder)


@pytest.mark.parametrize("tau", [0.0, -0.25])
def test_a_temperature_that_is_not_positive_is_refused_at_loading(folder, tau):
    spoil(folder, model__composer_projector__tau=lambda found: torch.full_like(found, tau))
    with pytest.raises(UserError, match=f"composer_projector.tau must be positive, got {tau}"):
        from_release(folder)
    assert from_release(folder, temperature=0.01).compose.temperature == 0.01  # then it is not read


def test_a_missing_tensor_has_the_checkpoints_name_where_no_neighbour_tells_it(folder):
    found = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in found.items() if "mm_projector" not in k}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"missing model\.mm_projector\.0\.bias \[64\]"):
        from_release(folder)


def test_our_own_names_of_tensors_are_no_checkpoints(folder):
    found = load_file(folder / "model.safetensors")
    found["language.lm_head.weight"] = found.pop("lm_head.weight")
    save_file(found, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"missing lm_head.weight \[320, 64\]\n  unexpected language.lm_head.weight"):
        from_release(folder)


def test_the_paper_needs_the_maps_of_its_composer():
    with pytest.raises(UserError, match="behaviour=paper needs .* sig_pooling, .* got average_pooling"):
        from_release(TINY, behaviour="paper", composer="average_pooling")
    with pytest.raises(UserError, match="queries and patches of one width, got 24 and 32"):
        from_release(TINY, relevance="cosine")


def test_rope_scaling_is_forced_off(folder):
    edit(folder, rope_scaling={"type": "yarn", "factor": 4.0})
    plain, scaled = from_release(TINY), from_release(folder)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert torch.equal(plain.language(ids).logits, scaled.language(ids).logits)


def test_embeddings_are_cut_to_the_tokenizers_length_and_never_stretched():
    model = from_release(TINY)
    cut_vocabulary(model, 259)
    assert model.table.weight.shape == (259, 64)
    with pytest.raises(UserError, match="ids up to 320, the checkpoint's embeddings have 320 rows"):
        cut_vocabulary(from_release(TINY), 321)


def test_an_unknown_setting_is_named_with_those_there_are():
    with pytest.raises(UserError, match="legacy_mask"):
        from_release(TINY, legacy_maks=True)
    with pytest.raises(UserError, match="paper"):
        from_release(TINY, behaviour="papre")
