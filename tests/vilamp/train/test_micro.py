"""The trainings of the models that ship: footage with decoys at cuts, equal beginnings, and runs that resume."""

import dataclasses
import json
import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from niah.types import UserError
from tests.helpers.commands import train as main
from vilamp import checkpoint
from vilamp.compressors.registry import NAMES
from vilamp.config import Clip, Compression, Extras, Language, VilampConfig, Vision
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.loop import hold_then_cool
from vilamp.train.micro.config import Member, MicroConfig, read_micro
from vilamp.train.micro.examples import draw_batch, last_tokens, splice_video
from vilamp.train.micro.footage import load_worlds
from vilamp.train.micro.train import Stages, new_model, train_micro, trained_parameters
from vilamp.train.reader import reader_loss
from vilamp.vocabulary import Vocabulary

SIZES = VilampConfig(
    keyframes=2,
    clip=Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
    extras=Extras(patch_positions=True, query_scores=True),
)
MEMBERS = (
    Member("vilamp", steps=3, tokens=700),
    Member("llama_vid", steps=3, tokens=700, positions=500, compression=Compression("llama_vid", 2.0)),
    Member("video_xl", steps=3, tokens=300, longest=64, compression=Compression("summary", 2.0)),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    checkpoint.save(Vilamp(SIZES, Vocabulary(data.vocabulary_words())), folder)
    return checkpoint.load(folder)[0], folder


@pytest.fixture(scope="module")
def config(base, tmp_path_factory):
    return MicroConfig(
        name="tiny", output=str(tmp_path_factory.mktemp("out")), members=MEMBERS, base=str(base[1]), worlds=1,
        haystack=150, clips=4, decoys=2, shown=(0, 1, 2), lengths=(0, 64, 128), window=4, promote=0.0, videos=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def worlds(config, base):
    return load_worlds(config, base[0])


def test_a_world_holds_haystack_clips_and_decoys_in_this_order(worlds):
    (world,) = worlds
    spans = [*world.spans, *(span for spans in world.decoys.values() for span in spans)]
    assert spans[0][0] == world.haystack == 150
    assert all(one[1] == other[0] for one, other in zip(spans, spans[1:], strict=False))
    assert spans[-1][1] == len(world.patches) == len(world.embeddings)
    assert [stop - start for start, stop in world.spans] == [clip.count for clip in world.clips]
    assert {(clip.type, clip.target) for clip in world.clips} <= set(world.decoys)
    assert all(len(spans) == 2 for spans in world.decoys.values())


def test_footage_is_encoded_once(config, base, worlds, monkeypatch):
    monkeypatch.setattr("vilamp.train.micro.footage._encode", None)
    (again,) = load_worlds(config, base[0])
    assert torch.equal(again.patches, worlds[0].patches)


@pytest.mark.parametrize("decoys", [0, 1, 2])
def test_clip_and_decoys_begin_where_a_scene_of_the_haystack_does(worlds, decoys):
    (world,) = worlds
    clip = world.clips[1]
    shown = world.decoys[clip.type, clip.target]
    for seed in range(20):
        video = splice_video(world, 1, 120, decoys, random.Random(seed))
        frames = video.frames.tolist()
        assert frames[video.start : video.stop] == list(range(*world.spans[1]))
        inserted = [span for span in shown if span[0] in frames]
        assert len(inserted) == decoys and len(frames) == 120 == len(set(frames))
        haystack = [frame for frame in frames if frame < world.haystack]
        assert haystack == list(range(haystack[0], haystack[-1] + 1))
        for start, _ in [world.spans[1], *inserted]:
            after = [frame for frame in frames[frames.index(start) :] if frame < world.haystack]
            assert not after or after[0] in (haystack[0], *world.cuts)


def test_without_room_the_clip_stands_alone(worlds):
    video = splice_video(worlds[0], 0, 0, 0, random.Random(0))
    assert video.frames.tolist() == list(range(*worlds[0].spans[0])) and video.start == 0


def test_all_models_begin_with_the_weights_of_the_base(config, base):
    for member in MEMBERS:
        model = new_model(config, member, base[0])
        assert torch.equal(model.language.model.embed_tokens.weight, base[0].language.model.embed_tokens.weight)
        first = model.merged_connector.layers[0].weight
        assert torch.equal(first, base[0].merged_connector.layers[0].weight[:, :26])  # without the query's score
        encoders = {id(one) for one in [*model.clip.parameters(), *model.vision.parameters()]}
        assert not encoders & {id(one) for one in trained_parameters(model)}
        assert all(one.requires_grad != (id(one) in encoders) for one in model.parameters())


def test_compressors_that_learn_begin_where_they_can_be_read(config, base):
    summary = new_model(config, MEMBERS[2], base[0])
    layer = summary.language.model.layers[1]
    assert torch.equal(summary.scheme.layers[1].key.weight, layer.self_attn.k_proj.weight)
    scheme = new_model(config, MEMBERS[1], base[0]).scheme
    patches = torch.nn.functional.normalize(torch.randn(3, 64, 24, generator=torch.Generator().manual_seed(0)), dim=-1)
    with torch.no_grad():
        context, content = scheme.pool(patches, patches, patches[0, 5], 2)[0]
    with_question = [float(token @ patches[0, 5]) for token in (context, content)]
    assert with_question[0] > 0.9 > 0.3 > with_question[1]  # the query is one of 64 patches, which are all averaged


def test_a_batch_has_questions_about_the_clip_and_traces_its_later_frames(config, base, worlds):
    for member in MEMBERS:
        model = new_model(config, member, base[0])
        types, batch = draw_batch(config, model, worlds, 64, 3, member.positions, [1.0, 1.0], random.Random(1))
        assert len(types) == len(batch) == 3
        for example in batch:
            staying = sum(example.visual.stays) if example.visual.stays else len(example.visual.frames)
            assert example.cosines.shape == (1, staying) and len(example.positions) == staying + 1
            assert len(example.options) == 4 and 0 <= example.right < 4
            assert example.answers[0][0] == example.options[example.right]
            assert example.traced.tolist() and int(example.traced.max()) < staying
        alone_types, alone = draw_batch(config, model, worlds, 0, 2, 0, [1.0, 1.0], random.Random(1))
        questions = sum(len(example.texts) for example in alone)
        assert questions >= len(alone_types) == 2  # a clip alone is also asked what its pictures answer besides


LEARNERS = {"summary", "qformer", "abstractor", "llama_vid"}  # have parameters of their own


@pytest.mark.parametrize("scheme", NAMES)
def test_every_compressor_learns_from_answers_and_its_own_parameters_too(config, base, worlds, scheme):
    extras = dataclasses.replace(config.extras, late_question=scheme != "streaming")  # which refuses it
    member = Member(scheme, steps=1, compression=Compression(scheme, 2.0), extras=extras)
    model = new_model(config, member, base[0])
    _, batch = draw_batch(config, model, worlds, 64, 4, 500, [1.0, 1.0], random.Random(2))
    loss, tracing, right = reader_loss(model, batch)
    assert len(right) == 4
    (loss + tracing).backward()
    used = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    assert "language.model.embed_tokens.weight" in used
    assert any(name.startswith("scheme.") for name in used) == (scheme in LEARNERS)
    assert not any(name.startswith(("clip.", "vision.")) for name in used)


def test_the_last_token_of_each_late_frame_of_the_needle_is_traced():
    assert last_tokens([3, 3, 4, 4, 4, 6, 7], start=4, stop=7) == [4, 5]


def test_the_rate_rises_for_100_steps_and_falls_over_the_last_fifth():
    rates = [hold_then_cool(1.0, step, 1000, 0.2) for step in (0, 49, 99, 800, 900, 999)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 0.5, 0.05])


def test_stages_follow_accuracy_and_forget_answers_of_the_one_before(config):
    stages = Stages(dataclasses.replace(config, promote=0.7), MEMBERS[2], {})
    assert stages.lengths == (0, 64)
    kinds = ["motion", "digit"] * 4
    stages.update(0, 0, kinds, [True, False] * 4)
    assert stages.stage == 0 and stages.accuracy() == {"motion": 1.0, "digit": 0.0}
    stages.update(1, 0, kinds, [True] * 8)
    assert stages.stage == 1 and stages.accuracy() == {"motion": 0.0, "digit": 0.0}
    stages.update(2, 0, kinds, [True] * 8)  # of an earlier stage: not counted
    assert stages.accuracy() == {"motion": 0.0, "digit": 0.0}
    assert Stages(config, MEMBERS[2], stages.state()).stage == 1 and stages.reached == [[2, 64]]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_a_training_writes_what_it_trained_and_shares_the_encoders(config, base, worlds, tmp_path, member):
    config = dataclasses.replace(config, output=str(tmp_path))
    train_micro(config, member, lambda _: worlds)
    folder = config.checkpoint(member)
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        assert not [name for name in tensors.keys() if name.startswith(("clip.", "vision."))]  # noqa: SIM118
    model, _ = checkpoint.load(folder)
    for own, shared in zip(model.vision.parameters(), base[0].vision.parameters(), strict=True):
        assert torch.equal(own, shared)
    assert not torch.equal(model.late_weights, torch.full((2,), 4.0))
    summary = json.loads((folder / "train.json").read_text())
    assert summary["cpu_seconds"] > 0 and summary["member"]["name"] == member.name
    with pytest.raises(UserError, match="holds a finished training"):
        train_micro(config, member, lambda _: worlds)


def test_a_training_may_begin_with_a_trained_model_and_names_the_encoders_of_its_base(config, base, worlds, tmp_path):
    first = dataclasses.replace(config, output=str(tmp_path / "first"))
    train_micro(first, MEMBERS[0], lambda _: worlds)
    trained = first.checkpoint(MEMBERS[0])
    second = dataclasses.replace(config, output=str(tmp_path / "second"))
    train_micro(second, dataclasses.replace(MEMBERS[2], base=str(trained)), lambda _: worlds)
    folder = second.checkpoint(MEMBERS[2])
    assert (folder / "encoders.txt").read_text() == (trained / "encoders.txt").read_text() == f"{base[1]}\n"
    shutil.rmtree(trained)
    checkpoint.load(folder)  # needs nothing of the model it began with


def test_an_interrupted_training_ends_with_the_same_weights(config, worlds, tmp_path, monkeypatch):
    monkeypatch.setattr("vilamp.train.loop.STEPS_BETWEEN_STATES", 2)
    member = dataclasses.replace(MEMBERS[1], steps=5)
    whole = dataclasses.replace(config, output=str(tmp_path / "whole"))
    train_micro(whole, member, lambda _: worlds)
    parts = dataclasses.replace(config, output=str(tmp_path / "parts"))
    calls = []

    def stopping(*given, **named):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return draw_batch(*given, **named)

    monkeypatch.setattr("vilamp.train.micro.train.draw_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_micro(parts, member, lambda _: worlds)
    train_micro(parts, member, lambda _: worlds)
    weights = [(one.checkpoint(member) / "model.safetensors").read_bytes() for one in (whole, parts)]
    assert weights[0] == weights[1]
    changed = dataclasses.replace(parts, rate=1e-4)
    shutil.rmtree(parts.checkpoint(member))
    calls[:] = [1]  # it stops after two steps again
    with pytest.raises(KeyboardInterrupt):
        train_micro(parts, member, lambda _: worlds)
    with pytest.raises(UserError, match="belongs to another config"):
        train_micro(changed, member, lambda _: worlds)


def test_encoders_that_differ_are_not_shared(base, tmp_path):
    torch.manual_seed(1)
    other = Vilamp(SIZES, base[0].vocabulary)
    with pytest.raises(UserError, match="does not have the encoders of"):
        checkpoint.save(other, tmp_path / "other", encoders=str(base[1]))


def test_the_shipped_config_is_read_and_models_are_named(tmp_path, capsys):
    config, members = read_micro(Path("configs/train/rivals.yaml"), ["llama_vid"])
    assert [member.name for member in members] == ["llama_vid"]
    assert {member.name for member in config.members} == {
        "vilamp",
        "llama_vid",
        "uniform",
        "videochat_flash",
        "video_xl",
    }
    assert main(["--config", "configs/train/rivals.yaml", "lama_vid"]) == 2
    assert "no model is called 'lama_vid'. Did you mean 'llama_vid'?" in capsys.readouterr().err
    assert main(["--config", "configs/train/micro.yaml", "vilamp"]) == 2
    assert "describes one model" in capsys.readouterr().err
    file = tmp_path / "one.yaml"
    file.write_text("name: x\noutput: y\nmembers: [{name: a, steps: 1, compression: {scheme: mea, budget: 2}}]\n")
    assert main(["--config", str(file)]) == 2
    assert "a: compressors are differential, " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["vilamp", "llama_vid", "uniform", "video_xl", "videochat_flash"])
def test_what_ships_was_trained_as_its_config_says(name):
    config, (member,) = read_micro(Path("configs/train/rivals.yaml"), [name])
    folder = checkpoint.locate(f"micro-{name}")
    summary = json.loads((folder / "train.json").read_text())
    given = json.loads(json.dumps({**dataclasses.asdict(config), "members": []}))
    assert {**summary["config"], "extras": given["extras"], "output": None} == {**given, "output": None}
    assert {"base": None, **summary["member"]} == json.loads(json.dumps(dataclasses.asdict(member)))
    model, _ = checkpoint.load(folder)
    base, _ = checkpoint.load(checkpoint.locate(config.base_of(member)))
    assert model.config == config.model_of(member, base.config)
    assert (folder / "curve.csv").is_file() and (folder / "curve.png").is_file()


def test_the_page_says_how_far_each_training_came():
    told = re.findall(
        r"^\| `(\w+)` \|[^|]*\|[^|]*\| ([\d,]+), ([\d,]+), ([\d,]+)(?: frames)? \|",
        Path("docs/micro_vilamp.md").read_text(),
        re.MULTILINE,
    )
    assert len(told) == 5
    for name, *numbers in told:
        summary = json.loads((checkpoint.locate(f"micro-{name}") / "train.json").read_text())
        longest = summary["reached"][-1][1]
        expected = [summary["member"]["steps"], round(summary["cpu_seconds"]), longest]
        assert [int(number.replace(",", "")) for number in numbers] == expected, name
