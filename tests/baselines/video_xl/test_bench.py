"""The bench over lengths, on the tiny Video-XL and on fakes: lines appear one by one, and lost memory is a result."""

import dataclasses
import json
import sys

import pytest
import torch

from baselines.bench_figure import draw, points
from baselines.video_xl.bench import as_released, build, streamed
from niah.adapters import bench
from niah.adapters.bench import Job, Measurement, NoiseVideo, StageCosts
from niah.types import UserError
from tests.helpers.commands import bench as command


class Fits:
    """A model that runs out of memory from 100 frames on."""

    device, side = torch.device("cpu"), 4

    def run(self, video, execution):
        if len(video) >= 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return StageCosts({"encode": 0.0}, len(video) + 7)


def job(frames, cap=None):
    return Job("fits", "tiny", "streamed", frames, "cpu", cap)


@pytest.mark.parametrize("execution", ["streamed", "as_released"])
@torch.no_grad()
def test_both_executions_compute_the_same_tokens(execution):
    # 48 frames x 4 tokens in windows of 64 at ratio 16 leave 12, beside a prompt of 14 + 60
    assert build("tiny", "cpu").run(NoiseVideo(48, 56), execution).tokens == 14 + 12 + 60


@torch.no_grad()
def test_both_executions_compute_the_same_logits():
    model = build("tiny", "cpu").model
    for parameter in model.parameters():
        parameter.mul_(5)  # small random weights would make all logits alike
    ours, released = (read(model, NoiseVideo(20, 56))[1] for read in (streamed, as_released))
    assert ours.abs().max() > 0.1
    torch.testing.assert_close(ours, released, rtol=1e-4, atol=1e-4)


def test_running_out_of_memory_is_a_result():
    found = bench.measure(job(100), lambda size, device: Fits())
    assert (found.status, found.tokens) == ("oom", None) and "Tried to allocate" in found.detail
    found = bench.measure(job(99), lambda size, device: Fits())
    assert (found.status, found.tokens) == ("ok", 106)


def test_a_cap_of_device_memory_needs_a_device():
    with pytest.raises(UserError, match="needs a GPU"):
        bench.measure(job(10, 79.0), lambda size, device: Fits())


def test_a_capped_line_says_that_it_is_simulated():
    assert "simulated A100" in bench.format_measurement(
        Measurement(Job("x", "7b", "streamed", 64, "cuda", 79.0), "oom", "full")
    )
    assert "simulated" not in bench.format_measurement(
        Measurement(Job("x", "7b", "streamed", 64, "cuda", 40.0), "oom", "full")
    )


PROCESS = """
import json, os, signal, sys
job = json.loads(sys.argv[1])
if job["frames"] == 3: os.kill(os.getpid(), signal.SIGKILL)
if job["frames"] == 4: sys.exit("something broke")
print("noise before"); print(json.dumps({"job": job, "status": "ok"}))
"""


def test_every_length_has_a_process_and_a_line_and_is_measured_once(tmp_path):
    file, told = tmp_path / "out" / "fits.jsonl", []
    line = [sys.executable, "-c", PROCESS]
    bench.measure_all([job(2)], line, file, told.append)
    bench.measure_all([job(2), job(3), job(4)], line, file, told.append)
    assert [(found.job.frames, found.status) for found in told] == [(2, "ok"), (3, "oom"), (4, "error")]
    assert bench.read(file) == told and "something broke" in told[2].detail


def test_a_line_of_another_version_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({"job": {"frames": 3}}) + "\n")
    with pytest.raises(UserError, match="another version"):
        bench.read(tmp_path / "x.jsonl")


def test_the_figure_holds_what_was_measured_beside_what_was_published(tmp_path):
    lines = [
        Measurement(job(64), "ok", seconds_to_first_token=1.5, tokens=9, peak_host_bytes=3 << 30),
        Measurement(job(256), "oom"),
        Measurement(job(1024), "error", "broke"),
    ]
    drawn = points(lines)
    assert [(p.frames, p.status, p.peak_bytes) for p in drawn] == [(64, "ok", 3 << 30), (256, "oom", None)]
    (tmp_path / "fits-tiny.jsonl").write_text("".join(json.dumps(dataclasses.asdict(line)) + "\n" for line in lines))
    files = draw(tmp_path)
    assert [file.name for file in files] == [f"figure1.{kind}" for kind in ("png", "svg", "csv", "txt")]
    svg = files[1].read_text()
    assert "fits streamed (tiny)" in svg and "ViLaMP, published" in svg
    rows = files[2].read_text().splitlines()
    assert len(rows) == 1 + 2 + 20  # the names of the columns, what was measured, Table 5
    assert rows[1] == f"fits streamed (tiny),False,64,ok,peak_host_bytes,1,{3 << 30:.6g},1.5"
    assert "cannot come from one" in " ".join(files[3].read_text().split())
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in draw(tmp_path)] == before


def test_a_folder_without_results_says_how_to_make_them(tmp_path, capsys):
    assert command(["--draw", str(tmp_path)]) == 2
    assert "niah bench NAME" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_measures_video_xl_on_a_cpu(tmp_path, capsys):
    flags = ["--size", "tiny", "--lengths", "24", "--execution", "streamed", "--out", str(tmp_path)]
    assert command(["video_xl", *flags]) == 0
    (found,) = bench.read(tmp_path / "video_xl-tiny.jsonl")
    assert found.status == "ok" and found.tokens == 14 + 6 + 60 and found.peak_host_bytes
    assert "video_xl streamed tiny, 24 frames" in capsys.readouterr().out
