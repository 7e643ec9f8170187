"""Ask the probe of a checkpoint, as if it were a model, about cases whose needle it is shown."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import torch

from niah.adapters.feature_store import FeatureStore
from niah.cli import run as niah_run
from niah.cli.command import RESUMED, Command
from niah.cli.run_suite import run_suite as run
from niah.io import cache_folder
from niah.media.decoders.base import DEFAULT_DECODER, load_decoder
from niah.media.errors import MediaError
from niah.media.video import SplicedVideo
from niah.run.config import RunConfig
from niah.run.identity import loaded_identity, origin_of
from niah.run.messages import WorkerResult
from niah.suite.folder import GeneratedSuite
from niah.types import Case, Reply, UserError
from vilamp import checkpoint
from vilamp.adapter import VilampAdapter
from vilamp.train.probe import model as probes

EXAMPLES = """\
examples:
  niah probe --suite default
      a small reader that is given the compressed tokens of the needle alone: is the answer still in them?
  niah table runs/default-vilamp runs/default-vilamp-probe
      what the model answers beside what could be read

All flags of niah run that name cases and outputs work here; so does --model_args pretrained=CHECKPOINT,keyframes=K.

exit codes: those of niah run
"""
CONDITIONS = ("full", "needle_only")  # the others hold no needle that could be read


class ProbeClient:
    """Puts cases to the probe, in this process."""

    target = "vilamp.train.probe.client:ProbeClient"  # whose sources and weights are the model

    def __init__(
        self, generated: GeneratedSuite, pretrained: str = "micro", keyframes: int | None = None, **unknown: Any
    ) -> None:
        if unknown:
            raise UserError(f"a probe takes pretrained and keyframes, got {', '.join(sorted(unknown))}: leave it out")
        folder = checkpoint.locate(pretrained)
        self._model, self._weights_id = checkpoint.load(folder, keyframes)
        self._probe = probes.load(folder, self._weights_id)
        store = FeatureStore(2**30, 2**33, tempfile.gettempdir())
        self._adapter = VilampAdapter(self._model, self._weights_id, store)
        self._generated, self._decoder = generated, load_decoder(DEFAULT_DECODER)
        versions = {"torch": torch.__version__}
        python = "{}.{}.{}".format(*sys.version_info)
        self.metadata: Mapping[str, Any] = {
            "decoder": self._decoder.name,
            "python": python,
            "versions": versions,
            "concurrency": 1,
            "identity": loaded_identity(origin_of(self.target, {"pretrained": pretrained}), self._adapter),
        }

    @torch.inference_mode()
    def ask(self, case: Case) -> WorkerResult:
        """Compress the case's video for its question, and let the probe read what is left of the needle.

        A video that cannot be read is an error of this case alone.
        """
        began = time.monotonic()
        try:
            reply = self._read(case)
        except MediaError as error:
            return WorkerResult("error", str(error), measured={"file_to_answer_seconds": time.monotonic() - began})
        return WorkerResult("ok", reply=reply, measured={"file_to_answer_seconds": time.monotonic() - began})

    def _read(self, case: Case) -> Reply:
        """Return the reply."""
        generated, needle, compressor = self._generated, case.needles[0], self._model.compressor
        renders = cache_folder() / "rendered"
        sampling = generated.suite.sampling
        video = SplicedVideo(case.timeline, generated.sources, sampling, self._decoder, case.fps, renders)
        features = self._adapter.features.of(video)
        query = self._model.encode_query(case.question)
        choice = self._adapter.select(features.embeddings(self._adapter.needs), query)
        patches = features.patches(choice.with_patches)
        stream = self._model.compressed_tokens(choice, query, (chunk.float() for chunk in patches))
        remains = probes.needle_tokens(stream, needle.start, needle.stop, query)
        scores = self._probe.score(remains, case.options)
        return Reply(
            text=case.options[scores.index(max(scores))],
            option_scores=tuple(scores),
            mode="likelihood",
            frames_used=tuple(choice.seen),
            frames_kept=tuple(choice.kept),
            language_tokens=len(remains.tokens),
            settings={**compressor.settings(), "weights": self._weights_id},
        )

    def close(self) -> None:
        """Forget model and features."""
        del self._model, self._probe, self._adapter


def _run(options: argparse.Namespace) -> int:
    """Ask the probe what the command line names."""
    return run(_settings(niah_run.config_of(options)), options.arguments, ProbeClient)


def _settings(config: RunConfig) -> RunConfig:
    """Return the run's settings: the conditions that hold a needle, and a folder of its own."""
    if config.decoder != DEFAULT_DECODER:
        raise UserError(f"a probe reads videos with {DEFAULT_DECODER}, got --decoder {config.decoder}: leave it out")
    named = dataclasses.replace(config, model=f"{config.model}-probe", conditions=config.conditions or CONDITIONS)
    output = config.output_path or str(dataclasses.replace(config, model=named.model).folder())
    return dataclasses.replace(named, output_path=output)


COMMAND = Command(_run, EXAMPLES, niah_run.add_arguments, stopped=RESUMED)
