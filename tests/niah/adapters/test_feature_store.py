"""The store of features: bit-equal, bounded, oldest out first."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey

KIB = 1024
PAGE = 64 * KIB  # a multiple of every platform's mapping granularity


def key(number):
    return (FrameKey("sha256:ab@ab", str(number), "8x8/stretch/rgb8", "pyav", number), "weights-1")


def value(number, bytes=KIB):
    return np.full(bytes // 4, number, dtype=np.float32)


def test_value_in_memory_comes_back_bit_equal(tmp_path):
    store = FeatureStore(10 * KIB, 0, tmp_path)
    odd = np.array([np.nan, -0.0, np.inf, 1e-45], dtype=np.float32)
    store.put(key(1), odd)
    assert store.get(key(1)).tobytes() == odd.tobytes()


def test_value_that_fell_to_disk_comes_back_bit_equal_in_its_shape(tmp_path):
    store = FeatureStore(0, PAGE, tmp_path)
    odd = np.array([[np.nan, -0.0], [np.inf, 1e-45]], dtype=np.float16)
    store.put(key(1), odd)
    back = store.get(key(1))
    assert (back.shape, back.dtype, back.tobytes()) == (odd.shape, odd.dtype, odd.tobytes())


def test_unknown_key_is_none(tmp_path):
    assert FeatureStore(KIB, PAGE, tmp_path).get(key(1)) is None


def test_key_differs_by_weights(tmp_path):
    store = FeatureStore(10 * KIB, 0, tmp_path)
    frame = key(1)[0]
    store.put((frame, "weights-1"), value(1))
    assert store.get((frame, "weights-2")) is None


def test_longest_unused_falls_out_of_memory_first(tmp_path):
    store = FeatureStore(2 * KIB, 0, tmp_path)
    store.put(key(1), value(1))
    store.put(key(2), value(2))
    store.get(key(1))
    store.put(key(3), value(3))
    assert [store.get(key(n)) is not None for n in (1, 2, 3)] == [True, False, True]


def test_longest_unused_falls_off_the_disk_first(tmp_path):
    store = FeatureStore(0, 2 * PAGE, tmp_path)
    store.put(key(1), value(1, PAGE))
    store.put(key(2), value(2, PAGE))
    store.get(key(1))
    store.put(key(3), value(3, PAGE))
    assert [store.get(key(n)) is not None for n in (1, 2, 3)] == [True, False, True]


def test_memory_and_disk_stay_within_their_bounds(tmp_path):
    store = FeatureStore(4 * KIB, 2 * PAGE, tmp_path)
    for number in range(300):  # 300 KiB into 4 + 128 KiB
        store.put(key(number), value(number))
    assert store.memory_held == 4 * KIB
    assert store.disk_held == 2 * PAGE
    assert len(store) == 4 + 128
    assert all((store.get(key(n)) == n).all() for n in range(300 - 132, 300))


def test_values_of_other_shapes_share_the_disk_bound(tmp_path):
    store = FeatureStore(0, 2 * PAGE, tmp_path)
    store.put(key(1), value(1, PAGE))
    store.put(key(2), value(2, 2 * PAGE))
    assert store.disk_held <= 2 * PAGE
    assert store.get(key(1))[0] == 1


def test_changing_an_array_after_put_changes_nothing(tmp_path):
    store = FeatureStore(KIB, 0, tmp_path)
    mine = value(1)
    store.put(key(1), mine)
    mine[:] = 9
    assert store.get(key(1))[0] == 1


def test_value_handed_out_is_read_only(tmp_path):
    store = FeatureStore(KIB, PAGE, tmp_path)
    store.put(key(1), value(1))
    store.put(key(2), value(2))
    assert [store.get(key(n)).flags.writeable for n in (1, 2)] == [False, False]


def test_scratch_file_has_no_name_on_disk(tmp_path):
    store = FeatureStore(0, PAGE, tmp_path)
    store.put(key(1), value(1))
    assert (store.disk_held, os.listdir(tmp_path)) == (PAGE, [])


def test_closed_store_holds_nothing(tmp_path):
    with FeatureStore(KIB, PAGE, tmp_path) as store:
        store.put(key(1), value(1))
        store.put(key(2), value(2))
    assert (len(store), store.memory_held, store.disk_held) == (0, 0, 0)


def test_full_disk_costs_the_value_not_the_process(tmp_path):
    script = """
import resource, sys
import numpy as np
from niah.adapters.feature_store import FeatureStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # writing past it fails as a full disk does
store = FeatureStore(0, 1 << 20, sys.argv[1])
store.put(1, np.zeros(4096, dtype=np.uint8))
print(store.get(1), store.disk_held)
"""
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert run.stdout.split() == ["None", "0"], run.stderr


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_pages_of_the_scratch_file_do_not_pile_up_in_the_process(tmp_path):
    script = """
import re, sys
from pathlib import Path
import numpy as np
from niah.adapters.feature_store import FeatureStore
peak_mib = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
idle = peak_mib()
store = FeatureStore(0, 200 << 20, sys.argv[1])
for n in range(190):
    store.put(n, np.full(1 << 20, n % 256, dtype=np.uint8))
    store.get(n)
print(round(peak_mib() - idle))
"""
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert int(run.stdout) < 120, run.stdout + run.stderr  # MiB; 190 are mapped, and the file grows by 64 at a time
