"""The bench of released ViLaMP: counts against published numbers, both executions, and what it does without."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vilamp.release.bench import counts
from vilamp.release.bench.subject import FULL, TINY, compose_as_released, random_model
from vilamp.release.stream import Merger

ROOT = Path(__file__).resolve().parents[3]
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("av", "decord", "open_clip"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from vilamp.release.bench.measure import build
from niah.adapters.bench import Job, measure
measured = measure(Job("vilamp", "tiny", "streamed", 20, "cpu"), build)
print(measured.status, measured.tokens)
"""


@pytest.mark.parametrize("frames, published", [(64, 61.0), (256, 120.3), (1024, 356.8), (8192, 2565.2)])
def test_the_papers_count_is_reproduced(frames, published):
    assert counts.paper(FULL, frames) / 1e12 == pytest.approx(published, rel=0.002)


def test_multiply_adds_of_the_full_size_by_hand():
    # README of the reference: 289.1G + 31.8G, 4.4G, and 21.7G for the composer with its maps absorbed
    stages = {name: round(count / 1e9, 1) for name, count in counts.frame(FULL).items()}
    assert stages == {"clip": 4.4, "vision": 320.9, "merge": 21.7}
    assert round(counts.composer_as_released(FULL) / 1e9, 1) == 29.4
    assert round(counts.language_token(FULL) / 1e9, 2) == 6.53
    assert round(2 * counts.prefill(FULL, 16321) / 1e12) == 266


def test_both_executions_merge_to_the_same_tokens():
    model = random_model(TINY, "cpu", torch.float32)
    draw = torch.Generator().manual_seed(0)
    patches, query, kept = torch.randn(9, 49, 32, generator=draw), torch.randn(24, generator=draw), [2, 3, 7]
    with torch.inference_mode():
        released = compose_as_released(model, model.projector(patches), kept, query)
        hidden, merger = model.compose.hidden(patches), Merger(model, kept, 9, query)
        merger.keep_anchors(0, patches, hidden)
        streamed = torch.cat([merger.merge(range(n, n + 1), patches[n : n + 1], hidden[n : n + 1]) for n in (0, 5, 8)])
    torch.testing.assert_close(streamed, released[[0, 5, 8]], rtol=0, atol=1e-5)


def run(*command, **settings):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, **settings
    )


def test_it_runs_without_video_decoders_and_open_clip():
    done = run("-c", WITHOUT)
    assert done.stdout.split() == ["ok", str(8 * 16 + 12 + 1 + 80)], done.stderr


@pytest.mark.slow
def test_the_tiny_bench_writes_a_table_of_every_execution(tmp_path):
    done = run("-m", "niah", "bench", "vilamp", "--size", "tiny", "--lengths", "20", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "vilamp-tiny.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["execution"] for row in rows] == ["streamed", "as_released", "cached"]
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["tokens"] == "221" for row in rows)
