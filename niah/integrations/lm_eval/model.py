"""Every adapter as an lm-eval model.

The adapter runs in the same worker as under `niah run`: a process of its own, with its own interpreter if one is
named, limits of time and memory, and one restart after a crash. A worker gets the list of its videos when it is
loaded, but lm-eval makes the model before the tasks. So the worker starts with the first request and serves the videos
of one task; a second task loads the model again.

lm-eval has no notion of a failed case. By default the first failure ends the run (--use_cache keeps the earlier
replies). With `failed=unanswered` a failed case has an empty reply, which counts as wrong; the results report how many.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import simple_parse_args_string
from tqdm import tqdm

from niah.integrations.case_library import CaseMedia, check_reference, referenced_question, resolve_reference
from niah.io import cache_folder
from niah.prompt import format_prompt
from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig, resolve
from niah.run.messages import WorkerConfig
from niah.run.process import start_worker
from niah.run.registry import find_adapter
from niah.scoring import extract_answer
from niah.terminal import printable
from niah.types import LETTERS, Question, Record, UserError

HARNESS = ("python", "decoder", "timeout", "load_timeout", "grace", "memory_limit_gib", "in_process")
FOLLOWED = ("until", "do_sample", "temperature")  # generation settings that are read; the last two must mean greedy
FAILED = ("stop", "unanswered")
DEFAULT_DEVICE = "cuda:0"  # what lm-eval passes where no device was named


class VideoLM(LM):
    """One adapter. Its settings and those of the worker are both given as model_args."""

    MULTIMODAL = True
    adapter = ""  # set by subclasses

    def __init__(
        self,
        adapter: str | None = None,
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        failed: str = "stop",
        **settings: Any,
    ) -> None:
        """Check the settings. The adapter itself is loaded with the first request. Raises UserError."""
        super().__init__()
        del batch_size, max_batch_size  # one question at a time: a video is the batch
        if failed not in FAILED:
            raise UserError(f"failed is one of {', '.join(FAILED)}, got {failed!r}")
        name = adapter or self.adapter
        if not name:
            raise UserError("name the adapter, for instance: --model_args adapter=vilamp")
        harness = {key: settings.pop(key) for key in HARNESS if key in settings}
        self.run_config: RunConfig = resolve({"model": name, "model_args": settings, "device": device, **harness}, None)
        self.target = find_adapter(name)
        self.failed = failed
        self.records: list[Record] = []
        self._worker_metadata: dict[str, Any] = {}

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None) -> VideoLM:
        """Make the model from model_args and what lm-eval adds to them.

        lm-eval passes cuda:0 whenever no device was named, where the adapter's own default is better. So cuda:0 is
        taken from model_args only, where `niah lm_eval` puts the value of --device.
        """
        added = {key: value for key, value in (additional_config or {}).items() if value is not None}
        if "device" in arg_dict or added.get("device") == DEFAULT_DEVICE:
            added.pop("device", None)
        return cls(**{**added, **arg_dict})

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> VideoLM:
        """Make the model from model_args as text."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Return the adapter's replies, cut at the stop strings."""
        self._check([(_first(request), _visual(request)) for request in requests])
        for request in requests:
            _refuse_ignored(_second(request))
        replies = self.generate([_visual(request) for request in requests], [_second(request) for request in requests])
        for request, reply in zip(requests, replies, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, reply)
        return replies

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Return the likelihood of each continuation, an option's text or letter, and whether it is the reply."""
        self._check([(_first(request), _visual(request)) for request in requests])
        likelihoods = self.likelihoods([(_visual(request), _second(request)) for request in requests])
        for request, likelihood in zip(requests, likelihoods, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, likelihood)
        return likelihoods

    def generate(self, visuals: Sequence[Any], generation: Sequence[dict[str, Any]]) -> list[str]:
        """Return the reply to each referenced case, cut at its stop strings."""
        for one in generation:
            refuse_sampling(one)
        records = self.ask(visuals)
        return [cut_reply(record.reply or "", one) for record, one in zip(records, generation, strict=True)]

    def likelihoods(self, asked: Sequence[tuple[Any, str]]) -> list[tuple[float, bool]]:
        """Return the likelihood of an option of each referenced case, and whether it is the reply."""
        records = self.ask([visual for visual, _ in asked])
        return [
            self._likelihood(record, continuation, referenced_question(visual).options)
            for record, (visual, continuation) in zip(records, asked, strict=True)
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Refuse: plain text contains no video."""
        raise UserError("a video model gives no perplexity of plain text; leave out loglikelihood_rolling tasks")

    @property
    def tokenizer_name(self) -> str:
        """Refuse: lm-eval asks for it to apply a chat template, and every adapter has a chat format of its own."""
        raise UserError("adapters put their own chat format around a question; leave --apply_chat_template out")

    def get_model_info(self) -> dict[str, Any]:
        """Return the adapter and how many cases ended with each status: lm-eval writes both into its results."""
        statuses = Counter(record.status for record in self.records)
        return {"videoniah": {"adapter": self.run_config.model, "cases": dict(statuses), **self._worker_metadata}}

    def _likelihood(self, record: Record, continuation: str, options: Sequence[str]) -> tuple[float, bool]:
        """Return the score of the option that a continuation names."""
        if record.reply is None:
            return float("-inf"), False
        if record.option_scores is None:
            raise UserError(
                f"{self.run_config.model} generates and gives no option a likelihood; take the task without _options"
            )
        named = continuation.strip()
        letters = LETTERS[: len(options)]
        if named not in options and named not in letters:
            raise UserError(f"only an option's likelihood can be asked, one of {list(options)}, got {continuation!r}")
        index = options.index(named) if named in options else letters.index(named)
        return record.option_scores[index], extract_answer(record.reply, options) == letters[index]

    def _check(self, asked: Sequence[tuple[str, Any]]) -> None:
        """Raise UserError where lm-eval's prompt is not the one that an adapter is asked with."""
        for prompt, visual in asked:
            _refuse_other_prompt(prompt, referenced_question(visual))

    def ask(self, visuals: Sequence[Any]) -> list[Record]:
        """Ask each referenced case once, library by library; return a record for each reference, in their order."""
        answered: dict[tuple[str, str], Record] = {}
        for library in dict.fromkeys(visual["library"] for visual in visuals):
            shown = {visual["case"]: resolve_reference(visual) for visual in visuals if visual["library"] == library}
            for record in self._ask_library(shown.values()):
                answered[library, record.case] = record
        return [answered[visual["library"], visual["case"]] for visual in visuals]

    def _ask_library(self, shown: Iterable[CaseMedia]) -> Iterable[Record]:
        """Ask cases that share a sampling, sorted by haystack so that features are reused."""
        several = sorted(shown, key=lambda one: (one.case.haystack, _start(one), one.case.id))
        sources = {name: source for one in several for name, source in one.sources.items()}
        renders = str(cache_folder() / "rendered")
        sampling = several[0].sampling
        config = self.run_config
        worker_config = WorkerConfig(self.target, config.settings(), sources, sampling, config.decoder, renders)
        with tempfile.TemporaryDirectory(prefix="videoniah-") as folder:
            log = Path(folder) / "worker.log"
            hashes = {name: source.sha256 for name, source in sources.items()}
            case_runner = CaseRunner(lambda: start_worker(config, worker_config, log), config.model, hashes)
            try:
                for one in tqdm(several, desc=printable(f"asking {config.model}"), unit="case"):
                    record = case_runner.ask(one.case, cold=False)
                    self._note(record, case_runner)
                    yield record
            finally:
                case_runner.close()

    def _note(self, record: Record, case_runner: CaseRunner) -> None:
        """Keep a record. Raises UserError for one without a reply, unless `failed` is "unanswered"."""
        self.records.append(record)
        self._worker_metadata = {key: case_runner.metadata[key] for key in ("decoder", "python", "versions")}
        if record.reply is None and self.failed == "stop":
            raise UserError(
                f"case {record.case} ended as {record.status}: {record.detail}; fix it, or go on with "
                "--model_args failed=unanswered (an empty reply, counted wrong); --use_cache keeps the earlier replies"
            )


def __getattr__(name: str) -> type[VideoLM]:
    """Return the model of an installed adapter, as lm-eval's entry points name it."""
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        find_adapter(name)
    except UserError as error:
        raise AttributeError(str(error)) from None
    return model_for(name)


def model_for(adapter: str) -> type[VideoLM]:
    """Return the lm-eval model class of one adapter, given its name or module:function."""
    return type("VideoLM", (VideoLM,), {"adapter": adapter, "__module__": __name__})


def _visual(request: Instance) -> Any:
    """Return the video reference of a request. Raises UserError for a request without one."""
    multimodal: Any = request.args[2] if len(request.args) > 2 else {}
    visual = multimodal.get("visual")
    check_reference(visual)
    return visual


def _first(request: Instance) -> Any:
    """Return the prompt of a request."""
    return request.args[0]


def _second(request: Instance) -> Any:
    """Return how to generate, or the continuation: the second argument of a request."""
    return request.args[1]  # pyright: ignore[reportGeneralTypeIssues]  # lm-eval types its arguments as a tuple of nothing


def _start(shown: CaseMedia) -> int:
    """Return the frame at which a case's needle starts; -1 where it has none."""
    return shown.case.needles[0].start if shown.case.needles else -1


def _refuse_other_prompt(prompt: str, asked: Question) -> None:
    """Raise UserError for a prompt that lm-eval has changed: adapters build theirs from the question."""
    if prompt != format_prompt(asked):
        raise UserError(
            f"lm-eval made the prompt {prompt[:200]!r}, an adapter would be asked {format_prompt(asked)[:200]!r}: "
            "leave few-shot examples, --system_instruction and a task's description out"
        )


def _refuse_ignored(generation: dict[str, Any]) -> None:
    """Raise UserError for generation settings that no adapter reads: lm-eval's results would name them.

    Tasks of lmms-eval set some of these themselves, so under lmms-eval they are ignored.
    """
    ignored = sorted(set(generation) - set(FOLLOWED))
    if ignored:
        raise UserError(
            f"adapters read {', '.join(FOLLOWED)} only, got {', '.join(ignored)}: leave it out of "
            "--gen_kwargs; how much is generated is a setting of the adapter, such as --model_args max_new_tokens=8"
        )


def refuse_sampling(generation: dict[str, Any]) -> None:
    """Raise UserError for generation settings that mean sampling: adapters decode greedily."""
    if generation.get("do_sample") or float(generation.get("temperature") or 0) > 0:
        raise UserError(f"adapters decode greedily, got {generation}; leave do_sample and temperature out")


def cut_reply(reply: str, generation: dict[str, Any]) -> str:
    """End a reply before the first stop string in it."""
    until = generation.get("until") or []
    for stop in [until] if isinstance(until, str) else until:
        reply = reply.split(stop)[0] if stop else reply
    return reply
