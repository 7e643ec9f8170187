"""A question told late: training and answering compute the same, and no compressor sees it."""

import dataclasses

import pytest
import torch

from niah.adapters.compressor import Choice
from niah.adapters.feature_store import FeatureStore
from niah.types import Question
from vilamp.adapter import VilampAdapter
from vilamp.config import Clip, Compression, Extras, Language, VilampConfig, Vision
from vilamp.late import words_mask
from vilamp.model import Vilamp
from vilamp.train.data import vocabulary_words
from vilamp.train.example import Example
from vilamp.train.forward import last_states
from vilamp.train.micro.examples import compress_video
from vilamp.train.micro.footage import World
from vilamp.vocabulary import Vocabulary, cloze

SIZES = VilampConfig(
    keyframes=2,
    clip=Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=Language(hidden_size=16, intermediate_size=16, layers=3, heads=4, key_value_heads=2),
)
COMPRESSIONS = {
    "vilamp": None,
    "llama_vid": Compression("llama_vid", 2.0),
    "uniform": Compression("pooled_frames", 4.0),
    "videochat_flash": Compression("videochat_flash", 2.0),
    "video_xl": Compression("summary", 2.0),
}
UNGUIDED = ("uniform", "videochat_flash", "video_xl")
QUESTIONS = ("Which way does the red circle move?", "Which digit is beside the blue ring?")
FRAMES = 21


def build(name, late=True):
    torch.manual_seed(0)
    config = dataclasses.replace(SIZES, compression=COMPRESSIONS[name], extras=Extras(late_question=late))
    return Vilamp(config, Vocabulary(vocabulary_words())).eval()


@pytest.fixture(scope="module")
def world():
    draw = torch.Generator().manual_seed(1)
    embeddings = torch.randn(FRAMES, 24, generator=draw)
    patches = torch.randn(FRAMES, 64, 24, generator=draw)
    return World(embeddings, patches, FRAMES, (), (), (), {})


def train_side(model, world, questions):
    """Return the last states of prompt and answer behind a video, as training computes them."""
    queries = model.encode_queries(list(questions))
    visual, cosines = compress_video(model, world, torch.arange(FRAMES), queries)
    staying = sum(visual.stays) if visual.stays else len(visual.frames)
    texts = [model.embed(words(model, text)) for text in questions]
    example = Example(
        visual, texts, [[1]] * len(texts), torch.arange(staying + 1), torch.tensor([0, staying - 1]), (), -1, cosines
    )
    return last_states(model, [example])


def words(model, text):
    return model.vocabulary.encode(cloze(Question(text, ("left", "up")))) + model.vocabulary.encode("left up")


def answer_side(model, world, text):
    """Return the log-probability of the words "left up", as an answer is scored."""
    adapter = VilampAdapter(model, "none", FeatureStore(1, 0, "."))
    question = Question(text, ("left", "up"))
    query = model.encode_query(text)
    choice = adapter.select(world.embeddings, query)
    patches = world.patches[torch.tensor(list(choice.seen))]
    prompt = adapter.prompt(question, choice, adapter.merge(choice, query, world.embeddings, [patches]))
    cache, first = adapter.prefill(prompt)
    return model.score(cache, first, model.vocabulary.encode("left up"), prompt.cosines)


@torch.no_grad()
@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("late", [True, False])
def test_training_and_answering_compute_the_same(world, name, late):
    model = build(name, late)
    for question in QUESTIONS:
        states = train_side(model, world, [question]).texts[0][0]
        logits = model.name(states).log_softmax(-1)
        left, up = model.vocabulary.encode("left up")
        expected = logits[-3, left] + logits[-2, up]
        assert answer_side(model, world, question) == pytest.approx(float(expected), abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", UNGUIDED)
def test_a_video_read_once_for_two_questions_is_read_as_for_each(world, name):
    model = build(name)
    together = train_side(model, world, QUESTIONS).texts[0]
    apart = [train_side(model, world, [question]).texts[0][0] for question in QUESTIONS]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("name", UNGUIDED)
def test_what_is_kept_is_free_of_the_question(world, name):
    model = build(name)
    tokens = [compress_video(model, world, torch.arange(FRAMES), model.encode_query(text)[None]) for text in QUESTIONS]
    assert torch.equal(tokens[0][0].embeddings, tokens[1][0].embeddings)
    assert not torch.equal(tokens[0][1], tokens[1][1])


@torch.no_grad()
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_the_late_question_moves_answers_by_its_weights_alone(world, name):
    model = build(name)
    told = answer_side(model, world, QUESTIONS[0])
    model.late_weights.zero_()
    untold = answer_side(model, world, QUESTIONS[0])
    plain = build(name, late=False)
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["late_weights"])
    assert told != pytest.approx(untold, abs=1e-6)
    assert untold == pytest.approx(answer_side(plain, world, QUESTIONS[0]), abs=1e-5)


@torch.no_grad()
def test_states_of_a_batch_are_those_of_each_video_with_each_text(world):
    model = build("uniform", late=False)
    draw = torch.Generator().manual_seed(2)
    queries = model.encode_queries(list(QUESTIONS))
    batch = []
    for count in (FRAMES, 3):
        visual, _ = compress_video(model, world, torch.arange(count), queries)
        places = torch.randint(1, 9, (len(visual.frames) + 1,), generator=draw).cumsum(0)  # gaps
        texts = [model.embed(words(model, text)[: 9 - n]) for n, text in enumerate(QUESTIONS)]
        batch.append(Example(visual, texts, [[1], [1]], places, torch.tensor([1, 30]), (), -1))
    found = last_states(model, batch)
    for one, texts, traced in zip(batch, found.texts, found.wanted, strict=True):
        for text, state in zip(one.texts, texts, strict=True):
            behind = one.positions[-1] + torch.arange(len(text))
            whole = model.states([torch.cat([one.visual.embeddings, text])], [torch.cat([one.positions[:-1], behind])])[
                0
            ]
            torch.testing.assert_close(state, whole[-len(text) :])
            torch.testing.assert_close(traced, whole[one.traced])


def test_the_mask_adds_weighted_cosines_and_hides_later_words():
    mask = words_mask(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25, 0.0]), read=1, words=2)
    low = float("-inf")
    assert mask[0, 0].tolist() == [[0.5, 0.25, 0.0, 0.0, 0.0, low], [0.5, 0.25, 0.0, 0.0, 0.0, 0.0]]
    assert mask[0, 1, 0].tolist() == [-1.0, -0.5, 0.0, 0.0, 0.0, low]


def test_a_choice_of_no_frames_is_answered(world):
    model = build("video_xl")
    adapter = VilampAdapter(model, "none", FeatureStore(1, 0, "."))
    question = Question(QUESTIONS[0], ("left", "up"))
    with torch.no_grad():
        prompt = adapter.prompt(question, Choice((), ()), iter(()))
        cache, first = adapter.prefill(prompt)
        answer = adapter.reply(question, prompt, cache, first)
    assert prompt.cosines.shape == (0,) and answer.text in question.options
