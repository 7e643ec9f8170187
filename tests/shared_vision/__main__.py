"""What a run saves where vision features are found: the time, and the answers that change in bfloat16.

python -m tests.shared_vision

Not part of CI: it takes minutes. The model has random weights and the proportions of Qwen3-VL-4B, at an eighth of its
width and a sixth of its depth. Runs with and without a store alternate, so that what else a machine does hits both.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

from niah.cli.tree import main as niah
from tests.helpers import tiny_huggingface

VISION = {
    "depth": 4, "hidden_size": 128, "intermediate_size": 512, "out_hidden_size": 320, "deepstack_visual_indexes": [1, 2],
}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
TEXT = {
    "num_hidden_layers": 6, "hidden_size": 320, "intermediate_size": 1216, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 128, "rope_parameters": ROPE,
}  # fmt: skip
SUITE = """
name: shared-vision
version: 2
lengths: [80]
depth_bins: 2
sampling: {rate: 1, width: 128, height: 128}
footage: {world: smoke, haystacks: 2, needles: 4, types: [motion, digit]}
"""
HEAD = "| dtype | frames found | seconds without | with | ratio | answers that differ |\n" + "|---" * 6 + "|"
TIMES = 3


def main() -> int:
    """Run both ways in turn; print the frames found, the seconds and the differing answers."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = tiny_huggingface.qwen3_vl(folder / "checkpoint", 32_768, VISION, TEXT)
        print(HEAD)  # noqa: T201
        for dtype, times in (("float32", TIMES), ("bfloat16", 1)):
            pairs = [
                [_run(checkpoint, folder / f"{dtype}-{turn}-{gib}", dtype, gib) for gib in (0, 4)]
                for turn in range(times)
            ]
            (without, _), (found, _) = pairs[0]
            share = sum(one["measured"]["reused_frames"] for one in found) / sum(one["frames_used"] for one in found)
            seconds = [[spent for _, spent in pair] for pair in pairs]
            ratio = median(after / before for before, after in seconds)
            differ = sum(one["reply"] != other["reply"] for one, other in zip(without, found, strict=True))
            columns = [f"{median(column):.1f}" for column in zip(*seconds, strict=True)]
            print(f"| {dtype} | {share:.0%} | {' | '.join(columns)} | {ratio:.2f} | {differ} of {len(found)} |")  # noqa: T201
    return 0


def _run(checkpoint: Path, out: Path, dtype: str, gib: int) -> tuple[list[dict], float]:
    """Return the records of a run in the order of its cases, and its seconds of processor time."""
    given = f"pretrained={checkpoint},dtype={dtype},answer_by=letters,store_gib={gib}"
    suite = out.with_suffix(".yaml")
    suite.write_text(SUITE)
    asked = ["run", "--model", "huggingface", "--model_args", given, "--suite", str(suite), "--output_path", str(out)]
    began = process_time()  # not that of the clock: others use the machine too
    code = niah([*asked, "--conditions", "full", "--device", "cpu", "--in_process", "--no_figures"])
    spent = process_time() - began
    if code:
        raise SystemExit(code)
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    return sorted(records, key=lambda record: record["case"]), spent


if __name__ == "__main__":
    sys.exit(main())
