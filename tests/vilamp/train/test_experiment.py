"""The equal-budget experiment: the same examples for every scheme, an order that stops well, trainings that resume."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from niah.suite.footage.clips import draw_clip
from niah.suite.footage.wording import WORDED_TYPES
from niah.types import UserError
from vilamp import checkpoint, config
from vilamp.compressors.registry import NAMES
from vilamp.model import Vilamp
from vilamp.train import data, loop
from vilamp.train.experiment import footage
from vilamp.train.experiment.config import (
    Budget,
    Curriculum,
    Experiment,
    Primary,
    Stage,
    SuitePart,
    TrainingJob,
    budget_mismatches,
    read_experiment,
)
from vilamp.train.experiment.examples import build_examples, draw_examples, frame_order, last_token_of_frames, questions
from vilamp.train.experiment.footage import load_features
from vilamp.train.experiment.queue import queue_text, run_jobs, select_jobs
from vilamp.train.experiment.records import has_records
from vilamp.train.experiment.train import StageTracker, needle_examples, new_model, train, train_probe
from vilamp.train.loop import hold_then_cool
from vilamp.train.probe.model import FILE
from vilamp.train.probe.train import ANSWERS
from vilamp.train.reader import reader_loss
from vilamp.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs" / "experiment" / "compression.yaml"
TWO = Budget(2.0, (64,))
SIZES = config.VilampConfig(
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
    extras=config.Extras(patch_positions=True),
)
RUNGS = (Stage(0, 2, 0.5, ("named",)), Stage(64, 1, 1.0))
COURSE = Curriculum(steps=4, worlds=1, haystack=80, clips=12, rungs=RUNGS, window=4, promote=0.9)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An experiment of seconds, on encoders that know nothing."""
    folder = tmp_path_factory.mktemp("experiment")
    torch.manual_seed(0)
    checkpoint.save(Vilamp(SIZES, Vocabulary(data.vocabulary_words())), folder / "encoders")
    return Experiment(
        name="tiny", output=str(folder / "out"), results=str(folder / "results"), suite="smoke", budgets=(TWO,),
        primary=Primary("mean", 2.0),        asked=(SuitePart("near", ("full",)),), encoder_from=str(folder / "encoders"), model=SIZES, course=COURSE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def features(tiny):
    return load_features(tiny)


def test_wherever_the_queue_stops_what_is_done_is_balanced():
    experiment = read_experiment(CONFIG)
    names = [job.name for job in experiment.jobs()]
    schemes = ["differential", "keyframes", "uniform", "mean", "summary"]
    assert len(names) == len(set(names)) == 5 * 3 * 3 + len(experiment.further) + 4
    assert names[:15] == [f"{scheme}-2-{seed}" for seed in range(3) for scheme in schemes]
    assert names[15:25] == [f"{scheme}-{budget}-0" for budget in ("1.25", "4") for scheme in schemes]
    assert names[25 : 29 + len(experiment.further)] == [
        *(f"{scheme}-2-0" for scheme in experiment.further),
        *(f"{scheme}-0.25-0" for scheme in ("keyframes", "uniform", "mean", "summary")),
    ]


def test_a_length_at_which_a_scheme_misses_the_budget_is_refused(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(CONFIG.read_text().replace("tokens: 1.25, lengths: [256]", "tokens: 1.25, lengths: [128, 256]"))
    with pytest.raises(UserError, match=r"At 1.25 tokens a frame: .*uniform of 128 frames -20%"):
        read_experiment(path)


def test_lengths_asked_of_all_budgets_are_checked_too():
    far = SuitePart("far", ("full",), lengths=(100,))  # of 100 frames at 2: 3 whole frames are 192 of 200
    experiment = dataclasses.replace(read_experiment(CONFIG), asked=(far,))
    assert not [miss for miss in budget_mismatches(experiment, Budget(2.0, ())) if "uniform" in miss]
    # at 1.25: 2 whole frames are 128 of 125, and ViLaMP's one keyframe makes 163
    assert list(budget_mismatches(experiment, Budget(1.25, ()))) == ["differential of 100 frames +30%"]


def test_examples_follow_from_seed_and_step_and_not_from_how_far_a_scheme_has_come():
    course = Curriculum(rungs=(Stage(0, 8, 0.4), Stage(64, 4, 0.6), Stage(128, 2, 0.8), Stage(256, 1, 1.0)))
    for step in range(40):
        (low, first), (high, second) = draw_examples(course, 0, step, 0), draw_examples(course, 0, step, 3)
        assert low == 0 and len(first) == 8 and len(second) == course.rungs[high].videos
        for one, other in zip(first, second, strict=False):
            assert dataclasses.replace(one, length=0) == dataclasses.replace(other, length=0)
            longest = course.rungs[high].length
            assert longest // 2 <= other.length <= longest
    assert draw_examples(course, 1, 0, 0) != draw_examples(course, 0, 0, 0)


def test_types_take_turns_though_a_step_has_fewer_examples():
    made = [one.clip % 6 for step in range(12) for one in draw_examples(Curriculum(), 0, step, 4)[1]]
    assert min(made.count(kind) for kind in range(6)) >= 2


def test_a_rung_shows_and_asks_only_what_is_told_in_its_way():
    made = [one for step in range(6) for one in draw_examples(Curriculum(), 0, step, 0)[1]]
    assert {one.clip % 6 for one in made} == {0, 1}  # motion-named and digit-named
    assert [one.clip % 6 for one in made].count(0) == len(made) / 2
    drawn = draw_clip("w", "needle-0", "digit-named")
    assert ["colour of" in one.text for one in questions(drawn, ("named",))] == [False, False]
    assert ["colour of" in one.text for one in questions(drawn)].count(True) == 2


@pytest.mark.parametrize(
    "rungs", [(), (Stage(0, 1, 0.5),), (Stage(0, 1, 0.6), Stage(64, 1, 0.5), Stage(128, 1, 1.0)), (Stage(0, 1, 0.0),)]
)
def test_rungs_end_one_after_another_and_with_the_steps(rungs):
    with pytest.raises(ValueError, match="rungs end one after another"):
        Curriculum(rungs=rungs)


def test_the_rate_rises_for_100_steps_and_falls_over_the_last_fifth():
    rates = [hold_then_cool(1.0, step, 1000, 0.2) for step in (0, 49, 99, 800, 900, 999)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 0.5, 0.05])


def test_gaps_come_on_rungs_that_have_them_only():
    course = Curriculum(rungs=(Stage(0, 1, 0.5), Stage(64, 1, 1.0, gaps=1.0)))
    assert [one.gaps for step in range(20) for one in draw_examples(course, 0, step, 0)[1]] == [None] * 20
    assert None not in [
        one.gaps for step in range(20) for at, made in [draw_examples(course, 0, step, 1)] if at for one in made
    ]


def test_a_rung_is_refused_whose_wording_no_one_knows():
    with pytest.raises(ValueError, match="wordings out of named, indirect, unnamed"):
        Stage(0, 1, 1.0, ("whispered",))


@pytest.mark.parametrize("type", WORDED_TYPES)
def test_a_clip_is_asked_its_own_question_first_and_others_that_its_pictures_answer(type):
    for number in range(20):
        made = draw_clip("w", f"needle-{number}", type)
        first, *others = questions(made)
        assert (first.text, first.options) == (made.question, made.options)
        assert first.answer == made.options["ABCD".index(made.answer)]
        shown = {sprite.digit for sprite in made.sprites(0) if (sprite.shape, sprite.colour) == tuple(made.target)}
        for one in others:
            if "digit" in one.text:
                assert shown == {int(one.answer)}
            assert ("border" in one.text) == (WORDED_TYPES[type] == "unnamed")
            assert one.options == ()


def test_a_digit_clip_says_which_way_its_target_goes():
    made = draw_clip("w", "needle-0", "digit-named")
    targets = [[s for s in made.sprites(n) if (s.shape, s.colour) == tuple(made.target)] for n in (0, made.count - 1)]
    ((first,), (last,)) = targets
    ways = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    (asked,) = [one for one in questions(made) if one.text == f"Which way does the {made.target} move?"]
    x, y = ways[asked.answer]
    assert (last.x - first.x) * x + (last.y - first.y) * y >= 24


def test_the_last_token_of_each_late_frame_of_the_needle_is_traced():
    assert last_token_of_frames([3, 3, 4, 4, 4, 6, 7], start=4, stop=7) == [4, 5]


def test_a_clip_lies_in_its_haystack_where_it_was_drawn_to_lie(features):
    pool = features[0].pool
    drawn = dataclasses.replace(draw_examples(COURSE, 0, 0, 1)[1][0], clip=3, length=64, depth=0.5, offset=1.0)
    order, before = frame_order(features[0], drawn)
    frames = pool.starts[4] - pool.starts[3]
    assert len(order) == 64 and before == round((64 - frames) / 2)
    assert order[before : before + frames].tolist() == list(range(pool.starts[3], pool.starts[4]))
    assert order[-1] == 79 and order[0] == 80 - (64 - frames)  # the last footage of 80 frames


def test_footage_is_encoded_once(tiny, features):
    again = load_features(tiny)
    assert torch.equal(again[0].patches, features[0].patches)
    assert again[0].queries.keys() == features[0].queries.keys()
    assert again[0].pool.starts == features[0].pool.starts


def model_of(tiny, scheme):
    return new_model(tiny, TrainingJob(scheme, TWO, 0))


SCHEMES = ("differential", "keyframes", "uniform", "mean", "summary")


LEARNERS = {"summary", "qformer", "abstractor", "llama_vid"}  # have parameters of their own


@pytest.mark.parametrize("scheme", NAMES)
def test_every_scheme_learns_from_the_same_answers_and_its_own_parameters_too(tiny, features, scheme):
    model = model_of(tiny, scheme)
    drawn = [
        dataclasses.replace(draw_examples(COURSE, 0, 0, 1)[1][0], clip=n, length=64, gaps=n or None) for n in (0, 2)
    ]
    batch = [made for one in drawn for made in build_examples(model, features[0], one, COURSE)]
    answers = sorted(answer for one in batch for answer in one.answers)
    expected = [model.vocabulary.encode(one.answer) for d in drawn for one in questions(features[0].pool.clips[d.clip])]
    assert answers == sorted(expected)
    assert len(batch) == (len(expected) if model.compressor.guided else 2)
    loss, tracing, right = reader_loss(model, batch)
    assert len(right) == 2  # of the clips' own questions
    (loss + tracing).backward()
    used = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    assert {"language.model.embed_tokens.weight"} <= used
    assert any(name.startswith("scheme.") for name in used) == (scheme in LEARNERS)
    assert not any(name.startswith(("clip.", "vision.")) for name in used)


def test_all_schemes_of_a_seed_begin_with_the_same_connectors_and_language_model(tiny):
    first, second = (model_of(tiny, scheme).state_dict() for scheme in ("mean", "summary"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_next_length_comes_by_success_or_at_its_deadline(tiny):
    rungs = (Stage(0, 1, 0.5), Stage(64, 1, 0.7), Stage(128, 1, 1.0))
    course = dataclasses.replace(COURSE, steps=100, rungs=rungs)
    tracker = StageTracker(course, {})
    for step in range(4):
        tracker.update(step, 0, [True])
    assert (tracker.stage, tracker.advances) == (1, [[4, 1]])  # four of four right: above 0.9
    for step in range(4, 69):
        tracker.update(step, 1, [False])
    assert tracker.stage == 1
    tracker.update(69, 1, [False])
    assert (tracker.stage, tracker.advances) == (2, [[4, 1], [70, 0]])  # 0.7 of 100 steps are over


def test_an_interrupted_training_ends_as_an_undisturbed_one(tiny, features, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_STATES", 1)
    job, step, taken = TrainingJob("summary", TWO, 0), loop.optimizer_step, []

    def interrupted(*arguments):
        taken.append(1)
        if len(taken) == 3:
            raise KeyboardInterrupt
        step(*arguments)

    train(dataclasses.replace(tiny, output=str(tmp_path / "whole")), job, lambda: features)
    monkeypatch.setattr(loop, "optimizer_step", interrupted)
    parts = dataclasses.replace(tiny, output=str(tmp_path / "parts"))
    with pytest.raises(KeyboardInterrupt):
        train(parts, job, lambda: features)
    train(parts, job, lambda: features)
    place = Path("checkpoints") / job.name / "model.safetensors"
    whole, resumed = (load_file(tmp_path / name / place) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert "waiting" in queue_text(tiny, [job])
    assert "trained, not all asked" in queue_text(parts, [job])


def test_extrapolation_and_probe_are_asked_of_some_models_only():
    experiment = read_experiment(CONFIG)
    asked = {job.name: [part.name for part in experiment.parts(job)] for job in experiment.jobs()}
    assert asked["mean-2-0"] == ["near", "far", "probe"]
    assert asked["mean-4-0"] == ["near", "far"]
    assert asked["mean-2-1"] == asked["mean-4-2"] == ["near"]


def test_jobs_can_be_named(tiny):
    assert [job.name for job in select_jobs(tiny, "mean-2-1,uniform-2-0")] == ["mean-2-1", "uniform-2-0"]
    with pytest.raises(UserError, match="no job is called 'meen-2-1'. Did you mean 'mean-2-1'"):
        select_jobs(tiny, "meen-2-1")


def test_a_model_of_which_anything_is_kept_is_not_trained_again(tiny, tmp_path, capsys):
    experiment = dataclasses.replace(
        tiny, output=str(tmp_path / "out"), results=str(tmp_path / "results"),
        asked=(SuitePart("near", ("full",)), SuitePart("more", ("needle_only",))),
    )  # fmt: skip
    records = tmp_path / "results" / "records" / "near"
    records.mkdir(parents=True)
    (records / "mean-2-0.csv").write_text("case,reply,tokens,seen,kept,needle_seen,needle_kept\n")
    job = TrainingJob("mean", TWO, 0)
    assert run_jobs(experiment, [job]) == 3
    assert "another training would be another model" in capsys.readouterr().err
    assert not experiment.checkpoint(job).exists()


def test_footage_of_another_version_is_encoded_anew(tiny, features, tmp_path, monkeypatch):
    experiment, encoded = dataclasses.replace(tiny, output=str(tmp_path)), []
    monkeypatch.setattr(footage.data, "build_pool", lambda *given: features[0].pool)  # drawn and encoded once is enough
    monkeypatch.setattr(footage, "encode_pool", lambda *given: encoded.append(1) or features[0])
    load_features(experiment)
    load_features(experiment)
    assert len(encoded) == 1
    monkeypatch.setattr(footage, "FOOTAGE_VERSION", footage.FOOTAGE_VERSION + 1)
    load_features(experiment)
    assert len(encoded) == 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_probe_sees_what_a_scheme_left_of_the_needle_and_nothing_else(tiny, features, scheme):
    model = model_of(tiny, scheme)
    drawn = dataclasses.replace(draw_examples(COURSE, 0, 0, 1)[1][0], clip=0, length=64, depth=1.0)
    pairs = needle_examples(model, features[0], drawn)
    assert [ANSWERS[place] for _, place in pairs] == [one.answer for one in questions(features[0].pool.clips[0])]
    frames = features[0].pool.starts[1] - features[0].pool.starts[0]
    for left, _ in pairs:
        assert len(left.tokens) == len(left.frames)
        if scheme in ("mean", "summary"):  # 2 tokens of every frame
            assert left.frames.tolist() == [number for number in range(frames) for _ in range(2)]


def test_a_probe_is_trained_once(tiny, features, tmp_path):
    job = TrainingJob("summary", TWO, 0)
    experiment = dataclasses.replace(tiny, output=str(tmp_path), probe_steps=2)
    checkpoint.save(model_of(tiny, "summary"), experiment.checkpoint(job))
    train_probe(experiment, job, lambda: features)
    written = (experiment.checkpoint(job) / FILE).stat().st_mtime_ns
    train_probe(experiment, job, lambda: features)
    assert (experiment.checkpoint(job) / FILE).stat().st_mtime_ns == written
    assert experiment.has_probe(job) and not experiment.has_probe(TrainingJob("summary", TWO, 1))


def test_what_is_asked_later_waits_for_all_trainings_and_needs_their_checkpoints(tiny, tmp_path, monkeypatch, capsys):
    small = {"lengths": (200,), "depths": (0.5,), "limit": 2.0}
    parts = (SuitePart("near", ("full",), **small), SuitePart("far", ("needle_only",), later=True))
    experiment = dataclasses.replace(
        tiny, output=str(tmp_path / "out"), results=str(tmp_path / "results"), asked=parts, seeds=(0,),
        schemes=("mean", "uniform"), course=dataclasses.replace(COURSE, steps=1),
    )  # fmt: skip
    jobs, asked = experiment.jobs(), []
    monkeypatch.setattr(
        "vilamp.train.many_runs.run_suite", lambda config, **_: asked.append(Path(config.output_path)) or 3
    )
    assert run_jobs(experiment, jobs) == 3
    assert [(path.parent.name, path.name) for path in asked] == [
        ("mean-2-0", "near"), ("uniform-2-0", "near"), ("mean-2-0", "far"), ("uniform-2-0", "far"),
    ]  # fmt: skip
    monkeypatch.undo()
    assert run_jobs(experiment, jobs[:1]) == 0
    assert [has_records(experiment, job, part) for job in jobs for part in parts] == [True, True, False, False]
    (tmp_path / "results" / "records" / "far" / "mean-2-0.csv").unlink()
    longer = dataclasses.replace(experiment, course=dataclasses.replace(COURSE, steps=2))
    with pytest.raises(UserError, match="mean-2-0 was trained with another course than this config's"):
        run_jobs(longer, jobs[:1])
    training = experiment.checkpoint(jobs[0]) / "train.json"
    training.write_text(json.dumps({**json.loads(training.read_text()), "cpu_seconds": 7.0}))
    with pytest.raises(UserError, match=r"mean-2-0/far holds 4 answers of a model that has changed since"):
        run_jobs(experiment, jobs[:1])
    shutil.rmtree(Path(experiment.output) / "asked" / "mean-2-0" / "far")
    with pytest.raises(UserError, match=r"mean-2-0.json is of another training than .*answers of two models"):
        run_jobs(experiment, jobs[:1])
    training.unlink()
    assert run_jobs(experiment, jobs[:1]) == 3
    assert "another training would be another model" in capsys.readouterr().err
