"""Layers of the four releases' language models on several devices.

There is no second device here. So replies are compared where hooks bring layers from a disk, and that every tensor
meets a layer on that layer's card is checked with fake tensors, which refuse to be mixed.
"""

import dataclasses
from functools import partial

import accelerate
import accelerate.hooks
import numpy as np
import pytest
import torch

from baselines.huggingface.checkpoint import Loading
from baselines.video_xl.bench import LANGUAGE, REST, TOWERS
from baselines.video_xl.config import parse
from baselines.video_xl.model import LAYERS, build_empty
from niah.adapters import spread, tensors
from niah.adapters.checkpoint import _replace
from niah.adapters.feature_cache import FeatureCache
from niah.adapters.trace import trace
from niah.run.registry import find_adapter, load_adapter
from niah.types import Question, UserError
from tests.helpers import tiny_releases
from tests.helpers.fake_cuda import GIB, FakeCuda
from tests.helpers.fake_video import FakeVideo
from vilamp.release.model import ReleasedVilamp

QUESTION = Question("Which way does it go?", ("left", "right", "straight on", "back"))
MEASURED = ("seconds", "seconds_to_first_token")
TRACED = [
    "video_xl",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("vilamp", "llama_vid", "videochat_flash")),
]
each = pytest.mark.parametrize("name", tiny_releases.NAMES)


def load(name, folder, **settings):
    folder = folder if folder.exists() else tiny_releases.copy(name, folder)
    return load_adapter(find_adapter(name), {"pretrained": str(folder), "max_new_tokens": 3, **settings})


def place(monkeypatch, *devices):
    """Put layers on these devices in turn, whatever memory is free."""

    def divide(model, layers, dtype, rule):
        count = len(model.get_submodule(layers))
        return {f"{layers}.{number}.": devices[number % len(devices)] for number in range(count)}

    monkeypatch.setattr(spread, "divide", divide)


def replies(adapter):
    """Return what is answered about a video, about it once more, and without one, with all that is not measured."""
    videos = [FakeVideo(("h", 0, 12)), FakeVideo(("h", 0, 24)), FakeVideo()]
    return [dataclasses.replace(adapter.answer(video, QUESTION), **dict.fromkeys(MEASURED)) for video in videos]


@each
def test_replies_and_attention_are_the_same_bits_where_hooks_bring_every_other_layer(name, tmp_path, monkeypatch):
    def dispatch_to_disk(stack, device_map, **kwargs):
        on_disk = {place: "disk" for place in device_map if place.startswith("layers.") and int(place[7:]) % 2}
        return dispatch(stack, {**device_map, **on_disk}, offload_dir=tmp_path / "offloaded", **kwargs)

    dispatch = accelerate.dispatch_model
    plain = load(name, tmp_path / "checkpoint")
    place(monkeypatch, "cpu")
    monkeypatch.setattr(accelerate, "dispatch_model", dispatch_to_disk)
    moved = load(name, tmp_path / "checkpoint", device_map="auto")
    assert {str(weight.device) for weight in moved.model.parameters()} == {"cpu", "meta"}
    assert replies(moved) == replies(plain)
    rows = [adapter.attentions(FakeVideo(("h", 0, 12)), QUESTION).layers for adapter in (moved, plain)]
    assert all(np.array_equal(one, other) for one, other in zip(*rows, strict=True))


class Shapes:
    """Stands for an opened file of which nothing but shapes is read: a fake tensor has no numbers."""

    def __init__(self, file, framework):
        self.opened = open_file(file, framework)

    def __enter__(self):
        self.inside = self.opened.__enter__()
        self.keys, self.get_slice = self.inside.keys, self.inside.get_slice
        return self

    def __exit__(self, *error):
        self.opened.__exit__(*error)

    def get_tensor(self, name):
        return torch.zeros(self.get_slice(name).get_shape())


open_file = tensors.safe_open


@pytest.fixture
def cards(monkeypatch):
    """Two cards that are made up, and what must not ask fake tensors for numbers."""

    def move(module, name, device, value=None, **kwargs):
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        _replace(module, name, (tensors[name] if value is None else value).to(device))

    monkeypatch.setattr(accelerate.hooks, "set_module_tensor_to_device", move)  # copies the class of a tensor
    monkeypatch.setattr("niah.adapters.tensors.safe_open", Shapes)
    monkeypatch.setattr(torch, "equal", lambda one, other: True)
    monkeypatch.setattr(FeatureCache, "put", lambda *args: None)
    monkeypatch.setattr(ReleasedVilamp, "select", lambda *args: ([0, 5], [0, 5]))
    made_up = FakeCuda((24.0, 24.0)).patch(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # or fake tensors would start a driver
    return made_up


class Film(FakeVideo):
    """A video that fills the cards when it is decoded."""

    cards: FakeCuda

    def frames(self, indices):
        for card, size in enumerate((5, 9)):
            self.cards.use(card, size * GIB)
        return super().frames(indices)


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_whatever_meets_a_layer_is_on_its_card_and_peaks_of_both_cards_are_recorded(name, tmp_path, monkeypatch, cards):
    place(monkeypatch, "cuda:0", "cuda:1")
    film = Film(("h", 0, 12))
    film.cards = cards
    with trace("cuda"):
        adapter = load(name, tmp_path / "checkpoint", device="cuda:0", device_map="auto", store_gib=0, store_disk_gib=0)
        layers = spread_layers(adapter.model)
        assert [str(spread.device_of(layer)) for layer in layers[:2]] == ["cuda:0", "cuda:1"]
        rest = [weight for name, weight in adapter.model.named_parameters() if ".layers." not in name]
        assert {str(weight.device) for weight in rest} == {str(adapter.model.device)} == {"cuda:0"}
        reply = adapter.answer(film, QUESTION)
    assert reply.finish_reason and reply.language_tokens
    assert (reply.peak_reserved_bytes, reply.peak_device_bytes) == (14 * GIB, 9 * GIB)


def spread_layers(model):
    """Return the layers of a release's language model."""
    language = model.language
    return getattr(language, "model", language).layers


def seven_b(rule, gib, host=64):
    """Return how many layers of a Video-XL of 7B each device gets in float16: 0.47 GiB each, 2.6 GiB beside them."""
    free = {card: int(size * GIB) for card, size in enumerate(gib)}
    model = build_empty(parse({**REST, **LANGUAGE["7b"]}, TOWERS["7b"]))
    places = list(spread.divide(model, LAYERS, torch.float16, rule, {**free, "cpu": host * GIB}).values())
    return {device: places.count(device) for device in places}


@pytest.mark.parametrize(
    "rule, gib, devices",
    [
        ("auto", (24, 24), {"cuda:0": 11, "cuda:1": 17}),  # 7.7 and 7.9 GiB
        ("sequential", (24, 24), {"cuda:0": 28}),
        ("auto", (12,), {"cuda:0": 19, "cpu": 9}),  # room to bring one is left on the card
        ("auto", (2, 24), {"cuda:1": 28}),
    ],
)
def test_layers_are_divided_by_what_each_card_holds_beside_everything_else(rule, gib, devices):
    assert seven_b(rule, gib) == devices


def test_too_little_memory_is_refused_with_numbers():
    with pytest.raises(UserError, match=r"15.6 GiB of weights in torch.float16 .* \(15 of 28 layers are left over\)"):
        seven_b("auto", (6,), host=4)


@each
def test_a_rule_that_nobody_knows_and_a_package_that_is_not_there_are_refused(name, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="device_map.*'evenly'.*auto, balanced"):
        load(name, tmp_path / "checkpoint", device_map="evenly")
    monkeypatch.setattr("niah.extras.find_spec", lambda package: None)
    remedy = r"device_map=auto needs the package accelerate.*pip install 'videoniah\[spread\]'"
    for ask in (partial(load, name, tmp_path / "checkpoint"), Loading):
        with pytest.raises(UserError, match=remedy):
            ask(device_map="auto")
