"""The lmms-eval model against the shape of lmms-eval 0.7.3: its base class, its manifest, its requests."""

import sys
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from niah.media.writer import write_mp4
from niah.types import UserError


class Base:
    """What every model of lmms-eval is made of."""

    def __init__(self):
        self.task_dict = {}


@dataclass(frozen=True)
class Manifest:
    """What a plug-in hands to lmms-eval."""

    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@pytest.fixture
def module(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.models", "lmms_eval.models.registry_v2")
    made = {name: ModuleType(name) for name in names}
    made["lmms_eval.api.model"].lmms = Base
    made["lmms_eval.models.registry_v2"].ModelManifest = Manifest
    for name, fake in made.items():
        monkeypatch.setitem(sys.modules, name, fake)
    yield import_module("niah.integrations.lmms_eval.model")
    del sys.modules["niah.integrations.lmms_eval.model"]


def model_with_clip(module, tmp_path, adapter, **settings):
    """Return a model and a request maker for a grey clip of 30 frames, 10 a second, one of them brighter."""
    frames = (np.full((16, 16, 3), 200 if number == 20 else 40, np.uint8) for number in range(30))
    write_mp4(tmp_path / "clip.mp4", frames, Fraction(10))
    model = module.VideoLmms(adapter=adapter, in_process=True, frame_size=16, **settings)
    model.task_dict = {"task": {"test": [{"path": str(tmp_path / "clip.mp4")}]}}
    return model, lambda first, second: SimpleNamespace(
        args=(first, second, lambda document: [document["path"]], 0, "task", "test")
    )


PROMPT = "How bright is the brightest frame?\nA. 40\nB. 200\nAnswer with the letter from the given choices directly."


def test_entry_point_gives_a_manifest_of_a_class_that_exists(module):
    manifest = module.manifest()
    name, _, attribute = manifest.simple_class_path.rpartition(".")
    assert manifest.model_id == "videoniah"
    assert issubclass(getattr(import_module(name), attribute), Base)
    assert module.VideoLmms.is_simple is True


def test_reply_comes_from_the_adapter_shown_the_video(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:right")
    assert model.generate_until([request(PROMPT, {"max_new_tokens": 16})]) == ["B"]  # frame 20 is the one at 2 s


def test_frames_are_taken_as_told(module, tmp_path):
    two = {"frame_sampling": "uniform", "frame_limit": 2}
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:right", **two)
    assert model.generate_until([request(PROMPT, {})]) == ["A"]  # frames 0 and 29


def test_continuations_of_one_document_are_its_options(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:scoring")
    requests = [request("How long?", "2 s"), request("How long?", lambda document: "3 s")]
    assert model.loglikelihood(requests) == [(-1.0, True), (-2.0, False)]


def test_one_continuation_alone_is_no_choice(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:scoring")
    with pytest.raises(UserError, match=r"got \['2 s'\] alone for 'How long\?'"):
        model.loglikelihood([request("How long?", "2 s"), request("How long?", "2 s")])


# lmms-eval reads a letter in any text: in this one it finds B.
def test_a_reply_in_an_options_words_is_handed_over_as_its_letter(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:in_words")
    lettered = request("Where is it?\nA. Between two chairs\nB. Under a table", {"max_new_tokens": 16})
    assert model.generate_until([lettered, request("Where is it?", {})]) == ["A", "Between two chairs"]


def test_replies_stay_in_the_order_of_their_requests(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:right")
    turned = PROMPT.replace("A. 40\nB. 200", "A. 200\nB. 40")
    blind = SimpleNamespace(args=(PROMPT, {}, lambda document: [], 0, "task", "test"))
    assert model.generate_until([request(turned, {}), blind, request(PROMPT, {})]) == ["A", "A", "B"]


def test_pictures_are_refused(module, tmp_path):
    model, request = model_with_clip(module, tmp_path, "tests.helpers.fake_adapters:right")
    pictures = SimpleNamespace(args=("Q?", {}, lambda document: [np.zeros((2, 2))], 0, "task", "test"))
    with pytest.raises(UserError, match="the path of one video"):
        model.generate_until([pictures])
