"""Adapters of a few lines that behave in one way each; named on the command line as `tests.helpers.fake_adapters:NAME`."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref
from pathlib import Path

import numpy as np

from niah.prompt import format_prompt
from niah.types import OptionLikelihood, Reply


class Says:
    """Answers with what `say(video, question)` makes."""

    def __init__(self, say):
        self.say = say

    def answer(self, video, question):
        return self.say(video, question)


def brightest(video, question):
    """Answer rightly: in `tests.helpers.small_suite` the right option names the needle's grey, brighter than any haystack."""
    if not len(video):
        return Reply("A")
    greys = [int(video.frames([index]).mean()) for index in range(len(video))]
    top = int(np.argmax(greys))
    found = min(question.options, key=lambda option: abs(int(option) - greys[top]))
    kept = (top,) if greys[top] > 120 else ()
    letter = "ABCD"[question.options.index(found)]
    return Reply(letter, frames_used=range(len(video)), frames_kept=kept, seconds={"look": 0.5}, language_tokens=7)


def right():
    return Says(brightest)


def zooming():
    """Look at every fourth frame, then at those around the brightest, as a model that asks for frames by itself does."""

    def say(video, question):
        if not len(video):
            return Reply("A")
        bright = lambda index: int(video.frames([index]).mean())  # noqa: E731
        near = max(range(0, len(video), 4), key=bright)
        top = max(bright(index) for index in range(max(0, near - 4), min(len(video), near + 4)))
        letter = "ABCD"[min(range(4), key=lambda number: abs(int(question.options[number]) - top))]
        return Reply(letter, frames_used=sorted(video.handed_out))

    return Says(say)


def in_words():
    """Answer with the text of the first option, or with one of no option's."""
    return Says(lambda video, question: Reply(question.options[0] if question.options else "Between two chairs"))


def reading(side=16):
    """Answer rightly, and say that pictures of this side are read."""
    adapter = right()
    adapter.frame_side = side
    return adapter


def trained_on_drawn_footage():
    """Answer rightly, and say that only built-in footage is read."""
    adapter = right()
    adapter.built_in_footage_only = True
    return adapter


def trained_on_few_words():
    """Answer rightly, and say that few words are known."""
    adapter = right()
    adapter.known_words = ("how", "bright")
    return adapter


def chatty():
    """Print to stdout from Python and past it, as C libraries do, and read stdin."""

    def say(video, question):
        print("progress: 50%")  # noqa: T201
        os.write(1, b'{"number": 1, "status": "ok"}\nnonsense without an end')
        assert os.read(0, 10) == b""
        return brightest(video, question)

    return Says(say)


def when(mark, then):
    """Do `then` on the question of `mark` frames, and answer rightly otherwise."""
    return Says(lambda video, question: then(video) if len(video) == mark else brightest(video, question))


def losing_its_device(frames=40):
    """Fail on the question of so many frames as a GPU does, and on every later question of the same process."""
    lost = []

    def say(video, question):
        lost.extend([True] * (len(video) == frames))
        if lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return brightest(video, question)

    return Says(say)


class Features:
    """What an answer holds."""


HELD = weakref.ref(Features())  # what the failed answer held, while it lives


def failing_in_a_cycle():
    def say(video, question):
        global HELD
        features = Features()
        HELD = weakref.ref(features)
        error = MemoryError("no more")
        error.frames = [error, features]  # as torch's compiler and tqdm do: the error holds itself
        raise error

    return Says(say)


def killed(frames=40, by="SIGSEGV"):
    return when(frames, lambda video: os.kill(os.getpid(), getattr(signal, by) if isinstance(by, str) else by))


def killed_once(flag, frames=40):
    """Die on the first question of `frames` frames, as long as `flag` is not there."""

    def die(video):
        if not Path(flag).exists():
            Path(flag).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return Reply("A")

    return when(frames, die)


def left(frames=40, code=7):
    return when(frames, lambda video: os._exit(code))


def hanging(frames=40):
    return when(frames, lambda video: time.sleep(600))


def hanging_with_child(frames=40, note=""):
    """Start a child that would outlive its parent, note its number, and hang."""

    def hang(video):
        child = os.fork()
        if child == 0:
            time.sleep(600)
        Path(note).write_text(str(child))
        time.sleep(600)

    return when(frames, hang)


def leaving_a_server(frames=40, note="", dies=False):
    """Start a server as a daemon: its session is its own, and its parent ends at once; then answer, or die."""

    def leave(video):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                Path(note).write_text(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        while not (Path(note).exists() and Path(note).read_text()):
            time.sleep(0.01)
        if dies:
            os._exit(1)
        return Reply("B")

    return when(frames, leave)


def breaking_in(frames=40):
    """Write nonsense to every descriptor, the runner's private one among them."""

    def break_in(video):
        for descriptor in range(1, 64):
            try:
                os.write(descriptor, b"nonsense\n")
            except OSError:
                continue
        time.sleep(600)

    return when(frames, break_in)


def hungry(frames=40, mib=300):
    """Take real memory and sit on it."""

    def eat(video):
        held = np.ones(mib << 20, dtype=np.uint8)
        time.sleep(600)
        return held

    return when(frames, eat)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


ERRORS = {
    "host": MemoryError("host"),
    "device": OutOfMemoryError("CUDA"),
    "words": RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    "other": KeyError("layers.0.weight"),
}


def raising(frames=40, error="other"):
    def fail(video):
        raise ERRORS[error]

    return when(frames, fail)


def leaking(answers=2):
    """Have no memory left after so many answers."""
    given = []

    def say(video, question):
        if len(given) == answers:
            raise MemoryError("leaked")
        given.append(question)
        return Reply("A")

    return Says(say)


def replying(frames=40, what="text"):
    """Break the contract in one way."""
    replies = {
        "text": "B",
        "outside": Reply("B", frames_used=(frames,)),
        "unused": Reply("B", frames_used=(1,), frames_kept=(2,)),
        "scores": Reply("B", option_scores=(1.0, 2.0)),
        "size": Reply("B", frame_size=(384,)),
        "likelihoods": Reply("B", option_likelihoods=(OptionLikelihood(-1.0, 1, 1),)),
        "infinite": Reply("B", option_likelihoods=[OptionLikelihood(float("-inf"), 1, 1)] * 4),
        "nan": Reply("B", seconds={"look": float("nan")}),
        "mode": Reply("B", mode="guessed"),
        "endless": Reply("B" * 1_000_001),
        "negative": Reply("B", usage={"prompt_tokens": -1}),
        "backwards": Reply("B", language_tokens=-1),
        "nested": Reply("B", settings=_nested(900)),
        "huge": Reply("B", settings={"log": "x" * 50_000_000}),
    }
    return when(frames, lambda video: replies[what])


def _nested(levels):
    inner = {}
    for _ in range(levels):
        inner = {"in": inner}
    return inner


def bypassing(reply):
    """Send a reply that `check_reply` never saw: a worker's code is the adapter's to change."""
    for name in ("__main__", "niah.run.worker"):
        if "check_reply" in vars(sys.modules.get(name, sys)):
            vars(sys.modules[name])["check_reply"] = lambda *anything: Reply(**reply)
    return Says(lambda video, question: None)


def reporting():
    """Report how frames were shown, why the text ended, and likelihoods, in numbers of NumPy."""
    likelihood = OptionLikelihood(np.float32(-1.5), np.int64(2), np.int64(3), np.float32(-2.5))
    told = {"frame_size": np.array([336, 448]), "frame_times": np.True_, "finish_reason": "length"}
    return Says(lambda video, question: Reply("B", option_likelihoods=[likelihood] * len(question.options), **told))


def stopping():
    """Answer rightly until the records at $STOPPING_RECORDS are $STOPPING_AT lines; then wait to be killed."""

    def say(video, question):
        path, count = os.environ.get("STOPPING_RECORDS"), int(os.environ.get("STOPPING_AT", "0"))
        if path and Path(path).exists() and Path(path).read_bytes().count(b"\n") >= count:
            time.sleep(60)
        return brightest(video, question)

    return Says(say)


def slow(seconds=0.1):
    """Answer rightly, in a while: time enough to be killed between two records."""

    def say(video, question):
        time.sleep(seconds)
        return brightest(video, question)

    return Says(say)


def settings(**given):
    """Answer with the settings it was loaded with."""
    return Says(lambda video, question: Reply(repr(sorted(given.items()))))


def peeping():
    """Answer with every word of the case that an adapter can reach."""
    return Says(lambda video, question: Reply(" ".join([*vars(question), *(n for n in dir(video) if n[0] != "_")])))


def broken():
    raise ImportError("libfoo.so.3: cannot open shared object file")


def nothing():
    return None


not_a_function = 3


def scoring():
    """Score the first option -1, the second -2 and so on, and answer with the first."""

    def say(video, question):
        scores = [-1.0 - number for number in range(len(question.options))]
        return Reply(question.options[0], option_scores=tuple(scores), mode="likelihood")

    return Says(say)


def echoing():
    """Answer with the bare question, the whole prompt and how many frames there are."""
    return Says(lambda video, question: Reply(f"{question.text}|{format_prompt(question)}|{len(video)} frames"))


def spotting():
    """Say where the brightest frame lies, if it is brighter than any haystack."""

    def say(video, question):
        greys = [int(video.frames([index]).mean()) for index in range(len(video))]
        return Reply(f"White, in frame {int(np.argmax(greys))}" if max(greys) > 120 else "Nothing")

    return Says(say)
