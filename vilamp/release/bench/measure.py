"""The 7B model with random weights for `niah bench vilamp`, and the table of its results.

vilamp-SIZE.csv is the table of all lines so far, with multiply-adds counted truly and as the paper counts them.
Needs neither PyAV, decord nor open_clip.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from niah.adapters.bench import Bench, Measurement
from niah.io import replacing
from vilamp.release.bench import counts
from vilamp.release.bench.subject import CONFIGS, VilampBench, random_model

STAGES = ("clip", "select", "vision", "merge", "prefill")


def build(size: str, device: str, compiled: bool = False) -> VilampBench:
    """Return the model of a size with random weights, in bfloat16 on a GPU."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    return VilampBench(random_model(CONFIGS[size], device, dtype), compiled)


def row_of(measured: Measurement) -> dict[str, Any]:
    """Return one line of the table: memory, seconds by stage, tokens, and multiply-adds in units of 1e12."""
    job, seconds = measured.job, measured.seconds
    config = CONFIGS[job.size]
    row: dict[str, Any] = {
        "model": job.model, "execution": job.execution, "frames": job.frames, "status": measured.status,
        "allocated_gib": _gib(measured.peak_allocated_bytes), "reserved_gib": _gib(measured.peak_reserved_bytes),
        "host_gib": _gib(measured.peak_host_bytes), "tokens": measured.tokens,
        "first_token_seconds": _round(measured.seconds_to_first_token),
        **{f"{stage}_seconds": _round(seconds.get(stage)) for stage in STAGES},
        "paper_tera_multiply_adds": _round(counts.paper(config, job.frames) / 1e12),
        "machine": measured.machine,
    }  # fmt: skip
    if measured.tokens is not None:
        row["tera_multiply_adds"] = _round(_work(measured) / 1e12)
        row["tera_flops"] = _round(2 * _work(measured) / 1e12)
    if seconds.get("vision") and job.execution == "streamed":
        ideal = job.frames * counts.frame(config)["vision"] / 1e12 * seconds["matrices_per_trillion"]
        row["vision_share_of_matrix_rate"] = _round(ideal / seconds["vision"])
    return row


def write_table(results: Sequence[Measurement], file: Path) -> None:
    """Write all results as a table."""
    rows = [row_of(measured) for measured in results]
    fields = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _work(measured: Measurement) -> int:
    """Return multiply-adds of one run."""
    job, config, tokens = measured.job, CONFIGS[measured.job.size], measured.tokens or 0
    if job.execution == "cached":
        return job.frames * counts.frame(config)["merge"] + counts.prefill(config, tokens)
    if job.execution == "streamed":
        return counts.total(config, job.frames, tokens)
    stages = counts.frame(config)
    frames = stages["clip"] + stages["vision"] + counts.projector(config) + counts.composer_as_released(config)
    head = (tokens - 1) * config.language.stack.hidden_size * config.language.vocabulary  # every position's logits
    return job.frames * frames + counts.prefill(config, tokens) + head


def _gib(size: int | None) -> float | None:
    return None if size is None else _round(size / 2**30)


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


BENCH = Bench(build, cached=True, write_table=write_table)
