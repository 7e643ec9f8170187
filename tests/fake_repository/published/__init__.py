"""Stands for a published repository: pins an old transformers, chatters, and misbehaves as its weights tell it to."""

import ctypes
import json
import os
import signal
import sys
import time

import numpy as np
import transformers

if transformers.__version__ != "4.31.0":
    raise ImportError("published needs transformers==4.31.0, found " + transformers.__version__)


def load_model(weights, device):
    """Read the weights: a JSON file, number of frames -> what to do when asked about as many."""
    print("Loading checkpoint shards: 100%|##########| on", device)  # noqa: T201
    with open(weights) as file:
        return Model({int(frames): deed for frames, deed in json.load(file).items()})


class Model:
    def __init__(self, deeds):
        self.deeds = deeds

    def chat(self, frames, prompt):
        """Answer rightly (the options of `tests.small_suite` name the needle's grey), or do the deed."""
        print('{"number": 0, "status": "ok"}', "from Python")  # noqa: T201
        libc = ctypes.CDLL(None)
        libc.puts(b'{"number": 0, "status": "ok"} from C')
        libc.fflush(None)
        deed = self.deeds.get(len(frames), "answer")
        return DEEDS[deed](frames, prompt)


def answer(frames, prompt):
    if not len(frames):
        return "I cannot tell."
    top = max(frame.mean() for frame in frames)
    options = [line.split(". ") for line in prompt.splitlines() if line[1:3] == ". "]
    return min(options, key=lambda option: abs(int(option[1]) - top))[0]


def scribble(frames, prompt):
    """Write nonsense to every descriptor there is, the runner's private one among them."""
    for descriptor in range(1, 64):
        try:
            os.write(descriptor, b"\xff{nonsense\n")
        except OSError:
            continue
    time.sleep(600)


DEEDS = {
    "answer": answer,
    "crash": lambda frames, prompt: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda frames, prompt: sys.exit("usage: demo.py --model-path PATH"),
    "hang": lambda frames, prompt: time.sleep(600),
    "garbage": lambda frames, prompt: np.array([1, 2]),
    "scribble": scribble,
    "wordless": lambda frames, prompt: "\x00\ufffd<unk>",
    "fill": lambda frames, prompt: np.ones((1 << 62,), np.uint8),
}
