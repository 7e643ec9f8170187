"""A node of a Ray cluster goes away in the middle of a run."""

import json
import shutil
import signal
import tempfile
import threading
import time

import psutil
import pytest

from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install -e '.[ray]'")
pytestmark = pytest.mark.slow  # two nodes take their time to start


@pytest.fixture
def nodes(monkeypatch):
    """Start a cluster of two nodes with one processor each, connect to it, and see that all of it ends."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # short, for the sockets' sake
    alone = {"HOME": folder, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    for name, value in alone.items():
        monkeypatch.setenv(name, value)
    before = set(psutil.Process().children(recursive=True))
    handler = signal.getsignal(signal.SIGTERM)
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    second = cluster.add_node(**small)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    started = set(psutil.Process().children(recursive=True)) - before
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()
    signal.signal(signal.SIGTERM, handler)
    assert psutil.wait_procs(started, timeout=30)[1] == []
    shutil.rmtree(folder)


def test_node_that_dies_loses_no_record_and_its_case_is_asked_elsewhere(nodes, tmp_path, monkeypatch):
    cluster, second = nodes
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    suite = make_suite(tmp_path)
    common = ["--suite", str(suite), "--model", "tests.helpers.fake_adapters:slow", "--model_args", "seconds=0.8"]
    common += ["--no_figures", "--conditions", "full"]
    assert main([*common, "--output_path", str(tmp_path / "one"), "--in_process"]) == 0
    path = tmp_path / "two" / "records.jsonl"

    def end_the_node():
        while not path.exists() or path.read_bytes().count(b"\n") < 5:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    threading.Thread(target=end_the_node, daemon=True).start()
    ray_flags = ["--engine", "ray", "--num_workers", "2"]
    assert main([*common, *ray_flags, "--output_path", str(tmp_path / "two")]) == 0

    def unmeasured(folder):
        rows = [json.loads(line) for line in (tmp_path / folder / "records.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "measured"} for row in rows]

    assert unmeasured("two") == unmeasured("one") and len(unmeasured("one")) == 12
    for _ in range(120):  # the cluster notices a death after a while
        if ray.cluster_resources()["CPU"] == 1:
            break
        time.sleep(0.5)
    assert ray.cluster_resources()["CPU"] == 1
