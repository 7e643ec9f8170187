"""Workers on a Ray cluster, really started: the same records, whoever dies meanwhile, and nothing left behind."""

import json
import os
import random
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from niah.run.ray import _connect
from niah.types import UserError
from tests.helpers.engine_runs import rows_of, runner, without_measured

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install -e '.[ray]'")
pytestmark = pytest.mark.slow  # starting a cluster and its actors takes a minute on a busy machine
SETTINGS = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of four processors that writes into a folder of its own, and see that it ends."""
    # Not pytest's folder: Ray's sockets lie below it, and a socket's path has at most 107 letters.
    folder = tempfile.mkdtemp(prefix="ray")
    alone = {"HOME": folder, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in alone.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        before = set(psutil.Process().children(recursive=True))
        handler = signal.getsignal(signal.SIGTERM)
        ray.init("local", num_cpus=4, object_store_memory=80 * 2**20, _temp_dir=folder, **SETTINGS)
        started = set(psutil.Process().children(recursive=True)) - before
        yield folder
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)
        assert psutil.wait_procs(started, timeout=30)[1] == []
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs the small suite into a folder."""
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield runner(folder)


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    assert run(out, "--in_process") == 0
    return without_measured(out)


def on_ray(count):
    return ["--engine", "ray", "--num_workers", str(count)]


def living(word):
    """Return the numbers of the processes on this machine's cluster whose command names `word`."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if any(word in part for part in child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("count", [1, 4])
def test_records_do_not_tell_that_actors_answered(cluster, run, undisturbed, tmp_path, capsys, count):
    assert run(tmp_path, *on_ray(count)) == 0
    assert without_measured(tmp_path) == undisturbed and len(undisturbed) == 24
    told = json.loads((tmp_path / "run.json").read_text())
    assert any(name.startswith("file ") for name in told["identity"])  # so a changed model is refused here too
    # Each loaded the model once; two cold cases, and the second's worker goes on with the rest.
    assert told["runs"][0]["workers"] == count + 1
    assert f"Ray cluster of 4 CPUs and 0 GPUs: {count} worker" in capsys.readouterr().err


def test_actors_and_their_workers_killed_at_random_cost_no_record(cluster, run, undisturbed, tmp_path):
    over = threading.Event()
    killed = []

    def kill():
        draw = random.Random("kills")
        while len(killed) < 4 and not over.wait(draw.uniform(0.3, 1.0)):
            found = living(draw.choice(["WorkerActor", "niah.run.worker"]))
            if found:
                killed.append(draw.choice(found))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    codes = [run(tmp_path, *on_ray(2))]
    over.set()
    killer.join()
    while codes[-1] != 0 and len(codes) < 10:
        codes.append(run(tmp_path, *on_ray(2)))
    assert killed and codes[-1] == 0 and set(codes) <= {0, 2, 3}
    assert without_measured(tmp_path) == undisturbed


def test_case_that_kills_its_worker_is_retried_on_another_actor_and_recorded(cluster, run, tmp_path):
    assert run(tmp_path, *on_ray(2), "--limit", "3", model="killed", args="frames=40") == 3
    rows = rows_of(tmp_path)
    (failed,) = [row for row in rows if row["status"] == "error"]
    assert len(rows) == 3
    assert (failed["case"], failed["measured"]["attempts"]) == ("n1.full.40.9", 2)
    assert failed["detail"] == "the worker died of SIGSEGV"


def test_model_that_does_not_load_on_the_cluster_is_told_without_a_traceback(cluster, run, tmp_path, capsys):
    assert run(tmp_path, *on_ray(1), model="broken", args="") == 2
    said = capsys.readouterr().err
    assert "the model did not load: tests.helpers.fake_adapters:broken raised ImportError: libfoo.so.3" in said
    assert "Traceback" not in said


def test_worker_that_finds_no_place_within_its_time_ends_the_run_in_words(cluster, run, tmp_path, capsys):
    assert run(tmp_path, *on_ray(1), "--gpus_per_worker", "1", "--load_timeout", "2") == 2
    assert "no node of the Ray cluster had room for a worker within 2 seconds" in capsys.readouterr().err


def test_nothing_of_a_run_is_left_on_the_cluster(cluster, run, tmp_path):
    run(tmp_path, *on_ray(2), "--limit", "4")
    workers = [psutil.Process(pid) for pid in living("WorkerActor") + living("niah.run.worker")]
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_address_where_nobody_listens_is_told_at_once():
    with pytest.raises(UserError, match="no Ray cluster at 127.0.0.1:1: .*refused"):
        _connect(ray, "127.0.0.1:1", 3600.0)


def test_a_node_that_does_not_start_in_time_is_told_in_words():
    class Late:
        @staticmethod
        def init(**settings):
            raise Exception("The current node timed out during startup.")  # in these words, with no type of its own

    with pytest.raises(UserError, match="no Ray cluster at this machine: The current node timed out"):
        _connect(Late, None, 1.0)


def test_folder_of_the_cluster_is_the_only_place_it_writes(cluster):
    assert not (Path(cluster) / ".ray").exists()  # its HOME: neither a token nor usage statistics
