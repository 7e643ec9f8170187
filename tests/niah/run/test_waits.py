"""Every wait for something outside has a bound, and the user's word for it arrives."""

import os
import subprocess
from types import SimpleNamespace

import av
import pytest

from niah.cli.run_suite import run_suite
from niah.media import bounds, container
from niah.media.bounds import STALL_VARIABLE, stall_seconds
from niah.media.container import open_video
from niah.run import environment, execute, process, ray
from niah.run.config import RunConfig
from niah.tools.decoder_bench import timed_runs
from niah.types import UserError
from tests.helpers.commands import run_config as parse


class Seen(Exception):
    """Ends a call once it has said what was asked of it."""


def test_a_program_that_hangs_costs_its_line_of_run_json_and_not_the_run():
    assert environment._output_of(0.2, "sleep", "60") is None


@pytest.mark.parametrize("flag", ["--grace", "--stall_timeout", "--timeout", "--load_timeout"])
def test_a_bound_of_no_time_is_refused(flag):
    with pytest.raises(UserError, match=f"{flag} is in seconds and above 0, got 0"):
        parse([flag, "0"])


def test_the_grace_reaches_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "ProcessWorker", lambda config, python, limits, log, stopping: limits)
    limits = process.start_worker(RunConfig(grace=3.0, load_timeout=5.0), None, tmp_path)
    assert (limits.grace, limits.loading_seconds) == (3.0, 5.0)


@pytest.mark.parametrize("load_timeout, seconds", [(3600.0, 6.0), (4.0, 4.0)])
def test_a_cluster_is_waited_for_three_times_the_grace_or_the_time_to_load(monkeypatch, load_timeout, seconds):
    def connect(ray, address, given):
        raise Seen(given)

    monkeypatch.setattr(ray, "_import_ray", lambda: SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.setattr(ray, "_connect", connect)
    config = RunConfig(engine="ray:10.0.0.1:6379", grace=2.0, load_timeout=load_timeout)
    with pytest.raises(Seen, match=f"^{seconds}$"), ray.connect(config):
        pass


def test_a_file_is_waited_for_as_long_as_the_environment_says(monkeypatch, tmp_path):
    def asked(path, timeout, options, metadata_errors):
        raise Seen(timeout)

    (tmp_path / "a.mp4").write_bytes(b"\0" * 64)
    monkeypatch.setattr(av, "open", asked)
    for said, seconds in (("2.5", "2.5"), ("", "60.0")):
        monkeypatch.setenv(STALL_VARIABLE, said)
        with pytest.raises(Seen, match=f"^{seconds}$"):
            open_video(tmp_path / "a.mp4")
    assert container.av is av


def test_a_worker_on_another_node_has_the_runners_bounds_on_files(monkeypatch):
    named = {value for name, value in vars(bounds).items() if name.endswith("_VARIABLE")}
    assert set(bounds.VARIABLES) == named
    monkeypatch.setattr(ray.os, "environ", {"OMP_NUM_THREADS": "1"})  # of the node, as Ray sets it
    ray.WorkerActor(ray._RunnerEnvironment(".", None, {bounds.FRAMES_VARIABLE: "0"}))
    assert ray.os.environ == {bounds.FRAMES_VARIABLE: "0"}


@pytest.mark.parametrize("said", ["soon", "0", "-1", "nan", "inf"])
def test_a_bound_on_files_that_is_no_time_is_refused(monkeypatch, said):
    monkeypatch.setenv(STALL_VARIABLE, said)
    with pytest.raises(UserError, match="must be a number of seconds above 0"):
        stall_seconds()


def test_the_flag_sets_the_bound_on_files_for_every_worker(monkeypatch):
    def plan(config):
        raise Seen

    monkeypatch.setenv(STALL_VARIABLE, "60")
    monkeypatch.setattr(execute, "make_plan", plan)
    with pytest.raises(Seen):
        run_suite(parse(["--model", "chance", "--stall_timeout", "7"]))
    assert os.environ[STALL_VARIABLE] == "7"


def test_a_decoder_that_hangs_in_the_bench_is_told_with_the_flag(monkeypatch):
    def late(command, timeout, **more):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(UserError, match=r"pyav/seek took longer than 2 s; give it more: --timeout"):
        timed_runs(["pyav"], "seek", SimpleNamespace(path="a.mp4"), 1, 2.0)
