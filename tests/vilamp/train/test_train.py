"""Training: labels that mean what they say, and an interrupted run that ends as an undisturbed one."""

import dataclasses
import random
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from niah.settings import read_yaml
from niah.suite.footage.draw import COLOURS, SHAPES
from niah.suite.footage.scenes import SpriteLabel
from niah.types import UserError
from tests.helpers.commands import ablation as main
from vilamp import config
from vilamp.model import Vilamp
from vilamp.train import data, loop
from vilamp.train import training as trainer
from vilamp.train.ablation import variants
from vilamp.train.config import EncoderConfig, ReaderConfig, TrainingConfig
from vilamp.train.encoder import EncoderHeads, encoder_loss
from vilamp.train.journal import Journal
from vilamp.train.reader import positions_with_gaps
from vilamp.vocabulary import BYTES, Vocabulary

ROOT = Path(__file__).resolve().parents[3]


def tiny(folder):
    """Return a run of seconds, with every part of a real one."""
    model = config.VilampConfig(
        keyframes=2,
        clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
        vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
        language=config.Language(hidden_size=16, intermediate_size=16, layers=1, heads=2, key_value_heads=1),
        extras=config.Extras(patch_positions=True, query_scores=True),
    )
    encoder = EncoderConfig(steps=6, batch=8, haystack=60, clips=4, crowds=10)
    reader = ReaderConfig(
        steps=6, tokens=400, haystack=60, clips=4, lengths=(0, 64), window=4, promote=0.0, positions=600
    )
    return TrainingConfig("tiny", 0, str(folder), worlds=1, device="cpu", model=model, encoder=encoder, reader=reader)


def test_a_patch_is_labelled_with_the_sprite_that_covers_it():
    # a red circle centred on pixel (12, 12) covers 6..18: all of patch 1, and 2 or 3 pixels beyond it
    labels = data.patch_labels([SpriteLabel("circle", "red", None, 12, 12)]).reshape(8, 8, 3)
    expected = np.full((8, 8, 3), -1)
    expected[1, 1] = (SHAPES.index("circle"), list(COLOURS).index("red"), -1)
    expected[1, 2] = expected[2, 1] = expected[1, 1]  # 8 x 3 = 24 of 64 pixels, more than a third
    assert labels.tolist() == expected.tolist()


def test_a_plate_belongs_to_its_sprite():
    labels = data.patch_labels([SpriteLabel("ring", "blue", 7, 12, 12)]).reshape(8, 8, 3)
    ring = [SHAPES.index("ring"), list(COLOURS).index("blue"), 7]
    # sprite and plate reach from pixel 6 to 27 across and 6 to 18 down: of patch (1, 3) 4 x 8 pixels, of (2, 3) 4 x 3
    assert labels[1, 1].tolist() == labels[1, 2].tolist() == labels[1, 3].tolist() == ring
    assert labels[2, 3].tolist() == [-1, -1, -1]


def test_every_word_of_the_built_in_questions_is_one_token():
    vocabulary = Vocabulary(data.vocabulary_words())
    pool = data.build_pool("train/words", 24, 10, ("motion", "colour", "order", "digit", "count"))
    for clip in pool.clips:
        for text in (clip.question, *clip.options):
            assert all(token >= BYTES for token in vocabulary.encode(text)), text


def test_a_pool_holds_its_haystack_then_its_clips():
    pool = data.build_pool("train/pool", 30, 3, ("motion",), crowds=2)
    lengths = [clip.count for clip in pool.clips]
    assert pool.haystack == 30
    assert pool.starts == (30, 30 + lengths[0], 30 + lengths[0] + lengths[1], 30 + sum(lengths))
    assert len(pool.frames) == len(pool.labels) == 30 + sum(lengths) + 2


@pytest.mark.parametrize("seed", range(20))
def test_positions_rise_with_gaps_among_the_visual_tokens_alone(seed):
    places = positions_with_gaps(30, 40, 1000, random.Random(seed)).tolist()
    assert places == sorted(set(places)) and places[0] >= 0 and places[-1] < 1000
    assert [later - earlier for earlier, later in pairwise(places[30:])] == [1] * 9


def test_positions_have_no_gaps_where_none_are_asked_for():
    assert positions_with_gaps(30, 40, 0, random.Random(0)).tolist() == list(range(40))


def test_training_needs_neither_pyav_nor_open_clip_and_says_what_its_frames_went_through():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['av', 'decord', 'open_clip', 'torchcodec', 'datasets']))\n"
        "import vilamp.train.training; from vilamp.train import data\n"
        "pool = data.build_pool('train/bare', 5, 1, ('motion',)); "
        "print(data.codec_name(), len(pool.frames) - pool.starts[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["none", "0"], done.stderr


def test_training_on_encoders_of_a_checkpoint_leaves_them_as_they_are(tmp_path):
    trainer.train(tiny(tmp_path / "first"))
    run = dataclasses.replace(tiny(tmp_path / "second"), seed=1, encoder_from=str(tmp_path / "first"))
    trainer.train(run)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    frozen = [name for name in first if name.startswith(("clip.", "vision."))]
    assert frozen and all(torch.equal(first[name], second[name]) for name in frozen)
    assert not torch.equal(first["merged_connector.layers.0.weight"], second["merged_connector.layers.0.weight"])


def test_the_committed_ablation_is_summed_up_again_from_its_records(tmp_path, monkeypatch):
    kept = shutil.copytree(ROOT / "results" / "archive" / "version-1" / "ablation", tmp_path / "ablation")
    (kept / "table.csv").unlink()
    config = str(ROOT / "configs" / "train" / "ablation.yaml")
    assert main(["--config", config, "--records", str(kept)]) == 0
    assert (kept / "table.csv").read_bytes() == (
        ROOT / "results" / "archive" / "version-1" / "ablation" / "table.csv"
    ).read_bytes()


@pytest.mark.parametrize(("spoil", "told"), [
    (lambda kept: (kept / "no-tracing" / "records.jsonl").write_text(""), "224 of 224 cases have no answer"),
    (lambda kept: shutil.copytree(kept / "all", kept / "no-tracing", dirs_exist_ok=True), "is of another training"),
    (lambda kept: shutil.rmtree(kept / "no-tracing"), "no-tracing"),
])  # fmt: skip
def test_an_ablation_of_runs_that_are_not_whole_or_of_others_is_refused(tmp_path, monkeypatch, capsys, spoil, told):
    kept = Path(shutil.copytree(ROOT / "results" / "archive" / "version-1" / "ablation", tmp_path / "ablation"))
    spoil(kept)
    before = (kept / "table.csv").read_bytes()
    config = str(ROOT / "configs" / "train" / "ablation.yaml")
    assert main(["--config", config, "--records", str(kept)]) == 2
    assert told in capsys.readouterr().err
    assert (kept / "table.csv").read_bytes() == before


def test_each_variant_of_the_ablation_lacks_one_thing():
    base = read_yaml(TrainingConfig, ROOT / "configs" / "train" / "ablation.yaml")
    made = variants(base)
    lacking = ("patch_positions", "query_scores", "alignment", "tracing", "position_gaps")
    assert list(made) == ["all", *(f"no {name}" for name in lacking)]
    assert made["no query_scores"].model.extras == config.Extras(patch_positions=True, query_scores=False)
    assert (made["no tracing"].reader.tracing, made["no tracing"].reader.alignment) == (0, 0.5)
    assert len({one.output for one in made.values()}) == 6


@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_STATES", 2)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CURVE_ROWS", 1)
    trainer.train(tiny(tmp_path / "whole"))
    step, taken = loop.optimizer_step, []

    def interrupted(*arguments):
        taken.append(1)
        if len(taken) in (4, 9):
            raise KeyboardInterrupt
        step(*arguments)

    monkeypatch.setattr(loop, "optimizer_step", interrupted)
    run = tiny(tmp_path / "parts")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trainer.train(run)
    trainer.train(run)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    curves = [(tmp_path / name / "curve.csv").read_text().split() for name in ("whole", "parts")]
    steps = [[row.split(",")[:2] for row in curve] for curve in curves]
    assert steps[0] == steps[1]


def test_a_finished_training_is_not_begun_again(tmp_path):
    run = tiny(tmp_path)
    trainer.train(run)
    before = (tmp_path / "curve.csv").read_bytes()
    with pytest.raises(UserError, match="holds a finished training"):
        trainer.train(run)
    assert (tmp_path / "curve.csv").read_bytes() == before


def test_another_compressor_is_not_trained_in_the_name_of_vilamp(tmp_path):
    run = tiny(tmp_path)
    other = dataclasses.replace(run.model, compression=config.Compression("mean", 2.0))
    with pytest.raises(ValueError, match="trains ViLaMP's own compressor, got compression 'mean'"):
        dataclasses.replace(run, model=other)


def test_a_batch_that_shows_nothing_has_a_loss_that_is_a_number():
    torch.manual_seed(0)
    model = Vilamp(tiny("unused").model, Vocabulary(data.vocabulary_words()))
    frames = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    labels = torch.full((4, 64, 3), data.NO_LABEL, dtype=torch.int8)
    loss, plotted = encoder_loss(model, EncoderHeads(model), frames, labels, random.Random(0))
    assert torch.isfinite(loss) and np.isnan(plotted["digit"])


def test_a_run_is_not_resumed_with_another_config(tmp_path):
    Journal(tmp_path, "one").save("encoder", 1)
    with pytest.raises(UserError, match="belongs to another config"):
        Journal(tmp_path, "other")
