"""Check the parts of the release that need no weights against the case files beside a reference checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch.nn.functional import normalize

from niah.adapters.checkpoint import mismatches
from niah.adapters.parity import Parity, expand_layout
from niah.adapters.preprocess import centre_square, standardise, stretch_to_square
from niah.integrations.benchmarks.frames import release_frames
from niah.integrations.benchmarks.prompts import NEW_TOKENS, user_text
from niah.integrations.benchmarks.subtitles import subtitle_text
from niah.types import UserError
from vilamp.keyframes import fill_gaps, select_keyframes
from vilamp.release.composer import pool_grid
from vilamp.release.config import config_of
from vilamp.release.load import build, configured, official_name, rename, unused
from vilamp.release.text import chat


def compare_cases(parity: Parity, folder: Path) -> None:
    """Compare every case file that lies in the folder or the one above it."""
    for name, compare in CASES.items():
        for place in (folder, folder.resolve().parent):
            if (place / name).is_file():
                parity.uses(place / name)
                _read(compare, parity, place / name)
                break


def _read(compare: Callable[[Parity, Path], None], parity: Parity, file: Path) -> None:
    """Compare one case file. Raises UserError where it, or the file of tensors beside it, is damaged."""
    try:
        compare(parity, file)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, BadZipFile) as error:
        raise UserError(f"{file.name} cannot be used ({error!r}): copy the reference folder again") from error


def _selection(parity: Parity, file: Path) -> None:
    """Compare keyframes; of cases whose result depends on a sort, the stated invariants."""
    cases = _json(file)
    embeddings = parity.golden(file.with_suffix(".safetensors"))
    for name, case in cases.items():
        frames = normalize(embeddings[f"{name}.image_embeds"], dim=-1)
        query = normalize(embeddings[f"{name}.text_embed"][0], dim=-1)
        limit = case["max_frame_num"]
        greedy = select_keyframes(frames, query, limit, case["f2f_thrd"], case["f2t_thrd"], keep_ties=True)
        filled = fill_gaps(greedy, len(frames), limit)
        if case.get("tie"):
            parity.equal(f"selector {name}, greedy count", len(greedy), len(case["greedy_keyframes"]))
            parity.equal(f"selector {name}, count", len(filled), min(limit, len(frames)))
            parity.equal(f"selector {name}, greedy kept", set(greedy) <= set(filled), True)
        else:
            parity.equal(f"selector {name}, greedy", greedy, case["greedy_keyframes"])
            parity.equal(f"selector {name}", filled, case["keyframes"])


def _gaps(parity: Parity, file: Path) -> None:
    cases = _json(file)
    got = [fill_gaps(case["selected"], case["num_frames"], case["max_frame_num"]) for case in cases]
    wrong = [number for number, case in enumerate(cases) if got[number] != case["result"]]
    parity.equal(f"gap filling, {len(cases)} cases", wrong, [])


def _pooling(parity: Parity, file: Path) -> None:
    golden = parity.golden(file)
    parity.tensor("pooling 27 to 14", pool_grid(golden["patches"], "bilinear"), golden["bilinear"])


def _preprocessing(parity: Parity, file: Path) -> None:
    """Compare a frame at full size: the uint8 pictures exactly, their sums, and a corner of the floats."""
    with file.open("rb") as opened:
        golden = dict(np.load(opened).items())
    frame, half = golden["frame"][None], (0.5, 0.5, 0.5)
    siglip, clip = stretch_to_square(frame, 384), centre_square(frame, 224)
    for name, picture, step in (("siglip_uint8_384_every3", siglip, 3), ("clip_uint8_224_every2", clip, 2)):
        parity.equal(name, bool((picture[0, ::step, ::step] == golden[name]).all()), True)
    for name, picture in (("siglip", siglip), ("clip", clip)):
        sums = picture[0].sum(axis=(0, 1), dtype=np.int64).tolist()
        parity.equal(f"{name}_channel_sums", sums, golden[f"{name}_channel_sums"].astype(np.int64).tolist())
    for name, pixels in (("siglip", standardise(siglip, half, half)), ("clip", standardise(clip))):
        corner = torch.from_numpy(golden[f"{name}_pixels_corner"])
        parity.tensor(f"{name}_pixels_corner", pixels[0, :, :6, :6], corner)


def _sampling(parity: Parity, file: Path) -> None:
    """Compare which frames the release takes of a file."""
    wrong = []
    for number, case in enumerate(_json(file)):
        got = release_frames(case["fps"], case["decoded_frames"], case["max_frames"])
        ends = len(case["first"]), len(case["last"])
        said = {"count": len(got), "sum": sum(got), "first": got[: ends[0]], "last": got[len(got) - ends[1] :]}
        if any(case[key] != value for key, value in said.items()) or case["indices"] not in (None, got):
            wrong.append(number)
    parity.equal(f"frame sampling, {len(_json(file))} cases", wrong, [])


def _prompts(parity: Parity, file: Path) -> None:
    """Compare prompts character by character, and generation limits."""
    for number, case in enumerate(_json(file)):
        benchmark = case["benchmark"]
        text = user_text(benchmark, case["question"], case.get("options"), case.get("subtitle", ""))
        parity.equal(f"prompt {number} {benchmark}", [text, chat(text)], [case["user_text"], case["full_prompt"]])
        parity.equal(f"prompt {number} {benchmark}, new tokens", NEW_TOKENS[benchmark], case["max_new_tokens"])


def _subtitles(parity: Parity, file: Path) -> None:
    for number, case in enumerate(_json(file)["subtitle_extraction"]):
        parity.equal(f"subtitles {number}", subtitle_text(case["srt"]), case["text"])


def _layout(parity: Parity, file: Path) -> None:
    """Compare names and shapes of every composer's 7B tensors, with the 7B towers whatever lies beside the file."""
    layout = _json(file)
    for composer, rows in layout["composer"].items():
        shapes = expand_layout([*layout["common"], *rows])
        config = config_of({**layout["config_used"], "composer_type": composer}, file.name)
        config = configured(config, shapes, "release", {"composer_type": composer}, {})
        words = mismatches(build(config), shapes, rename, unused(config, shapes), official_name)
        parity.equal(f"7B layout, {composer}, {len(shapes)} tensors", words, [])


def _json(file: Path) -> Any:
    """Return the cases of a file. Raises ValueError where there are none."""
    cases = json.loads(file.read_text(encoding="utf-8"))
    if not cases:
        raise ValueError("it holds no case")
    return cases


CASES: dict[str, Callable[[Parity, Path], None]] = {
    "selector_cases.json": _selection,
    "gap_filling_cases.json": _gaps,
    "pool_27_to_14.safetensors": _pooling,
    "preprocess_fullsize.npz": _preprocessing,
    "frame_sampling.json": _sampling,
    "prompts.json": _prompts,
    "subtitles.json": _subtitles,
    "checkpoint_layout_7b.json": _layout,
}
