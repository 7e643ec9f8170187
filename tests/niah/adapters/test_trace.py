"""Traced memory and FLOPs against numbers counted by hand, and against what PyTorch's profiler saw being allocated."""

import dataclasses
from importlib import import_module

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from niah.adapters.attention import causal_tail
from niah.adapters.bench import Job, NoiseVideo, StageCosts
from niah.adapters.trace import Repeat, shapes, trace
from niah.adapters.traced_bench import trace_jobs
from niah.types import UserError
from vilamp.keyframes import fill_gaps

BENCHES = {
    "vilamp": "vilamp.release.bench.measure",
    "video_xl": "baselines.video_xl.bench",
    "llama_vid": "baselines.llama_vid.bench",
    "videochat_flash": "baselines.videochat_flash.bench",
}
EXECUTIONS = ("streamed", "as_released")
SMALLEST = "llama_vid"  # the others take up to half a minute each
MODELS = [name if name == SMALLEST else pytest.param(name, marks=pytest.mark.slow) for name in BENCHES]


def profiled_peak(run):
    """Return the most bytes that were allocated at once above those there before, as PyTorch's profiler saw it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = seen.profiler.kineto_results.events()
    memory = sorted((event.start_ns(), number, event.nbytes()) for number, event in enumerate(events) if event.nbytes())
    live = peak = 0
    for _, _, size in memory:
        live += size
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_on_a_cpu_the_trace_is_what_the_profiler_saw_to_the_byte(model, execution):
    build, frames = import_module(BENCHES[model]).build, 20
    real = build("tiny", "cpu")
    if model == "vilamp":  # a trace has no values to choose keyframes by: both choose these
        real._select = lambda embeddings, query: fill_gaps([], len(embeddings), real.model.config.keyframes)
    with torch.inference_mode():
        real.run(NoiseVideo(16, real.side), execution)
        seen = profiled_peak(lambda: real.run(NoiseVideo(frames, real.side), execution))
    with trace("cpu") as counted, torch.inference_mode():
        fake = build("tiny", "cpu")
        fake.run(NoiseVideo(16, fake.side), execution)
        counted.reset()
        before = counted.live
        fake.run(NoiseVideo(frames, fake.side), execution)
    assert counted.peak - before == seen


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_what_repeats_is_counted_as_if_it_were_traced_every_time(model, execution):
    build, job = import_module(BENCHES[model]).build, Job(model, "tiny", execution, 36, "cuda")
    found = []
    for repeats in (True, False):
        trace_jobs([job, dataclasses.replace(job, frames=52)], build, found.append, repeats)
    assert found[:2] == found[2:] and found[0].flops < found[1].flops


def test_bytes_and_flops_of_a_product_by_hand():
    with trace("cuda") as counted:
        one = torch.empty(3, 5, device="cuda")  # 60 bytes: one block of 512
        other = torch.empty(5, 1000, device="cuda")  # 20,000 bytes: 40 blocks
        assert counted.live == 512 + 20480
        product = one @ other  # 12,000 bytes: 24 blocks
        assert (counted.live, counted.flops) == (512 + 20480 + 12288, 2 * 3 * 5 * 1000)
        del product
        assert (counted.live, counted.peak) == (512 + 20480, 512 + 20480 + 12288)
        other.view(1000, 5).add_(1)  # neither makes a storage
        assert counted.live == 512 + 20480


def test_memory_of_the_host_is_not_a_cards():
    with trace("cuda") as counted:
        numbers = torch.ones(1000)
        assert counted.live == 0
        assert len(numbers.to("cuda")) == 1000 and counted.peak == 4096


@pytest.mark.parametrize("queries, keys, pairs", [(4, 4, 10), (2, 5, 9), (1, 5, 5)])
def test_causal_attention_holds_no_scores_and_counts_the_pairs_seen(queries, keys, pairs):
    # query i of q over k keys sees k - q + i + 1 of them: 1+2+3+4, 4+5, 5
    with trace("cuda") as counted, torch.inference_mode():
        query = torch.empty(1, 6, queries, 64, device="cuda", dtype=torch.bfloat16)
        key = torch.empty(1, 2, keys, 64, device="cuda", dtype=torch.bfloat16)
        counted.reset()
        mixed = causal_tail(query, key, key)
        assert counted.flops == 2 * 6 * pairs * (64 + 64)
        held = _blocks(6 * queries * 128) + _blocks(2 * keys * 128)  # 64 numbers of 2 bytes a head and row
    # the output, and one number for each row and head in single precision
    assert counted.peak == held + _blocks(6 * queries * 128) + 512
    assert mixed.shape == query.shape and mixed.transpose(1, 2).is_contiguous()  # joining heads copies nothing


def _blocks(size):
    return -(-size // 512) * 512


class Chooses:
    """A model whose memory depends on what it sees."""

    device, side, repeats = torch.device("cuda"), 4, ()

    def run(self, video, execution):
        numbers = torch.ones(len(video), device="cuda")
        return StageCosts({}, len(numbers[numbers > 0]))


def test_a_model_that_does_not_trace_is_refused_with_the_operator():
    with pytest.raises(UserError, match=r"does not trace: the result of aten\.nonzero"):
        trace_jobs([Job("chooses", "7b", "streamed", 8, "cuda")], lambda size, device: Chooses(), print)


class Pair(torch.nn.Module):
    """Returns two views of one storage."""

    def forward(self, rows):
        both = torch.cat([rows, rows])
        return both[:1], both[1:]


def test_views_of_one_storage_are_counted_once_when_made_again():
    pair = Pair()
    with trace("cuda") as counted:
        counted.repeat([Repeat((pair,), "forward", shapes)])
        rows = torch.empty(300, device="cuda")
        first = pair(rows)
        alone = counted.live
        second = pair(rows)
        assert [part.shape for part in second] == [part.shape for part in first]
        assert counted.live - alone == _blocks(2400) and second[0].untyped_storage().nbytes() == 2400
        assert second[1].storage_offset() == 1
