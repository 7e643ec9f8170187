"""10,000 frames at full size pass through a tiny checkpoint in little host memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import resource, shutil, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, "tests")
from tests.helpers import byte_tokenizer
from niah.types import FrameKey, Question
from vilamp.adapter import load
class Video:
    fps, decode_seconds, handed_out = 1.0, 0.0, set()
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def keys(self, start, stop): return [FrameKey("s", str(n), "", "", n) for n in range(start, stop)]
    def announce(self, indices): pass
    def frames(self, indices):
        return np.stack([np.full((384, 384, 3), n % 251, np.uint8) for n in indices])
folder = Path(shutil.copytree("tests/reference/vilamp/tiny", Path(sys.argv[1]) / "tiny"))
byte_tokenizer.write(folder, 320)
adapter = load(str(folder), store_gib=0.0, store_disk_gib=0.0, max_new_tokens=1)
question = Question("What is it?", ("this", "that"))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
adapter.answer(Video(40), question)
before = peak()
reply = adapter.answer(Video(10_000), question)
print(len(reply.frames_used), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is counted in other units")
def test_ten_thousand_frames_of_video_take_less_than_a_gigabyte_of_host_memory(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    frames, grown = done.stdout.split() or (0, 0)
    assert int(frames) == 10_000, done.stderr
    assert int(grown) < 2**30
