"""Peaks of device memory, with a stand-in for `torch.cuda`."""

from types import SimpleNamespace

import pytest
import torch

from niah.adapters import bench
from niah.adapters.bench import Job, StageCosts, format_measurement, measure
from niah.adapters.meter import Meter
from niah.types import UserError
from tests.helpers.fake_cuda import GIB, FakeCuda

VIDEO = SimpleNamespace(decode_seconds=0.0)
CUDA = torch.device("cuda")


def peaks_of(cards, *sizes_of_cases):
    """Return the costs of cases asked one after another; each takes so many GiB of every card."""
    costs = []
    for sizes in sizes_of_cases:
        meter = Meter(CUDA, VIDEO)
        for card, size in enumerate(sizes):
            cards.use(card, size * GIB)
        costs.append(meter.costs())
    return costs


def test_peaks_do_not_depend_on_the_order_of_cases(monkeypatch):
    falling = peaks_of(FakeCuda().patch(monkeypatch), [30], [10])
    rising = peaks_of(FakeCuda().patch(monkeypatch), [10], [30])
    assert falling == rising[::-1]
    assert [cost["peak_reserved_bytes"] // GIB for cost in rising] == [10, 30]


def test_with_several_cards_the_sum_and_the_largest_of_one_are_recorded(monkeypatch):
    (cost,) = peaks_of(FakeCuda((80, 80, 80)).patch(monkeypatch), [20, 35, 0])
    recorded = [cost[f"peak_{kind}_bytes"] for kind in ("allocated", "reserved", "device")]
    assert [size // GIB for size in recorded] == [55, 55, 35]


def test_a_cpu_has_no_peaks():
    assert {cost for name, cost in Meter(torch.device("cpu"), VIDEO).costs().items() if "bytes" in name} == {None}


class Subject:
    """Takes as many GiB as there are frames."""

    device, side = torch.device("cpu"), 4

    def __init__(self, cards):
        self.cards = cards

    def run(self, video, execution):
        self.cards.use(0, len(video) * GIB)
        return StageCosts({}, 1)


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
@pytest.mark.parametrize("cap, status", [(8.0, "oom"), (40.0, "ok")])
def test_a_cap_holds_for_the_default_card_and_for_one_that_is_named(monkeypatch, device, cap, status):
    cards = FakeCuda((80, 80)).patch(monkeypatch)
    monkeypatch.setattr(bench, "WARM_UP", 1)
    measured = measure(Job("m", "7b", "streamed", 24, device, cap), lambda size, place: Subject(cards))
    assert (measured.status, cards.fractions) == (status, {0: cap / 80})


def test_a_card_of_eight_gib_says_what_it_took_and_runs_out_where_that_is_too_little(monkeypatch):
    cards = FakeCuda((8,)).patch(monkeypatch)
    monkeypatch.setattr(bench, "WARM_UP", 1)
    monkeypatch.setattr(Subject, "device", CUDA)
    jobs = [Job("m", "7b", "streamed", frames, "cuda") for frames in (4, 24, 4)]
    first, second, third = (format_measurement(measure(job, lambda size, place: Subject(cards))) for job in jobs)
    assert "4.00 GiB reserved, 4.00 GiB on the fullest card" in first
    assert "oom: CUDA out of memory. Tried to allocate 24.00 GiB" in second
    assert "4.00 GiB on the fullest card" in third  # whatever was asked before


def test_a_cap_without_a_card_is_refused():
    with pytest.raises(UserError, match="a cap of device memory needs a GPU"):
        measure(Job("m", "7b", "streamed", 24, "cpu", 8.0), lambda size, place: None)
