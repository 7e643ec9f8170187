"""The simple compressors alone, by numbers one can check by hand: a patch has two numbers, a frame two patches."""

import pytest
import torch

from niah.adapters.compressor import Compressor, Connectors, frame_chunks
from vilamp.compressors.budget import FixedFrames
from vilamp.compressors.pooled import Mean
from vilamp.compressors.whole import TopK, Uniform

EVERY = [Uniform(FixedFrames(2)), TopK(FixedFrames(2)), Mean()]
QUERY = torch.tensor([1.0, 0.0])
FRAMES = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.8, 0.6]])  # cosines .6 1 0 .8 .8
PATCHES = torch.tensor([[[n, 10.0 * n], [n + 2, 10.0 * n]] for n in range(5)])  # of frame 1: (1, 10) and (3, 10)
# The connectors only mark what passed through them: a kept patch has its sign turned, a merged one is a hundredfold.
MARKED = Connectors(keyframe=torch.neg, merged=lambda tokens: 100 * tokens)


def compressed(compressor, chunk):
    """Return the frames and the embeddings of all tokens of the five frames."""
    choice = compressor.choose(FRAMES, QUERY)
    chunks = frame_chunks(choice.seen, PATCHES[list(choice.seen)].split(chunk))
    tokens = list(compressor.compress(choice, QUERY, chunks, MARKED))
    return [n for part in tokens for n in part.frames], torch.cat([part.embeddings for part in tokens]).tolist()


@pytest.mark.parametrize("compressor", EVERY)
def test_it_is_a_compressor(compressor):
    assert isinstance(compressor, Compressor)


BIN_CENTRES = [(10, 2, [2, 7]), (5, 2, [1, 3]), (4, 1, [2]), (3, 8, [0, 1, 2]), (0, 8, [])]


@pytest.mark.parametrize("count, frames, expected", BIN_CENTRES)
def test_uniform_sees_bin_centres_and_keeps_all_it_sees(count, frames, expected):
    choice = Uniform(FixedFrames(frames)).choose(torch.empty(count, 0), QUERY)
    assert list(choice.seen) == list(choice.kept) == expected


def test_uniform_gives_every_patch_of_its_frames_through_the_connector_of_keyframes():
    frames, embeddings = compressed(Uniform(FixedFrames(2)), chunk=5)
    assert frames == [1, 1, 3, 3]
    assert embeddings == [[-1, -10], [-3, -10], [-3, -30], [-5, -30]]


RELEVANT = [(1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (4, [0, 1, 3, 4]), (9, [0, 1, 2, 3, 4])]


@pytest.mark.parametrize("limit, expected", RELEVANT)
def test_topk_takes_the_most_relevant_however_alike_and_of_equals_the_earlier(limit, expected):
    choice = TopK(FixedFrames(limit)).choose(FRAMES, QUERY)
    assert list(choice.seen) == list(choice.kept) == expected


def test_topk_gives_every_patch_of_its_frames_through_the_connector_of_keyframes():
    frames, embeddings = compressed(TopK(FixedFrames(1)), chunk=5)
    assert frames == [1, 1]
    assert embeddings == [[-1, -10], [-3, -10]]


def test_mean_gives_one_token_a_frame_through_the_connector_of_merged_tokens():
    frames, embeddings = compressed(Mean(), chunk=5)
    assert frames == [0, 1, 2, 3, 4]
    assert embeddings == [[100, 0], [200, 1000], [300, 2000], [400, 3000], [500, 4000]]


def test_mean_keeps_no_frame_whole():
    assert list(Mean().choose(FRAMES, QUERY).kept) == []


@pytest.mark.parametrize("compressor", EVERY)
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_tokens_do_not_depend_on_the_chunk(compressor, chunk):
    assert compressed(compressor, chunk) == compressed(compressor, chunk=5)


TOKENS = [(Uniform(FixedFrames(2)), 4), (TopK(FixedFrames(3)), 6), (Mean(), 5)]  # two patches a frame, five frames


@pytest.mark.parametrize("compressor, count", TOKENS)
def test_the_tokens_are_as_many_as_was_said_beforehand(compressor, count):
    assert compressor.tokens(compressor.choose(FRAMES, QUERY), patches=2) == count
    assert len(compressed(compressor, chunk=2)[0]) == count
