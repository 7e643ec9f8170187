"""A suite of a little real footage: 3 needles with their questions in 1,000 frames of two haystacks."""

from __future__ import annotations

from pathlib import Path

import yaml

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "videos"


def write(folder: Path) -> Path:
    """Write the suite's YAML and needles, and return the YAML: 3 full cases, and 3 blind ones in 4 rotations each."""
    lines = (VIDEOS / "needles.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "needles.jsonl").write_text("".join(lines[:3]), encoding="utf-8")
    suite = {
        "name": "few",
        "lengths": [1000],
        "depths": [0.5],
        "conditions": ["full", "blind"],
        "sampling": {"rate": "native", "width": 64, "height": 64},
        "haystacks": {"files": [str(VIDEOS / "haystacks" / name) for name in ("office_two.mp4", "bottles.mp4")]},
        "needles": {"file": "needles.jsonl", "media_root": str(VIDEOS)},
    }
    (folder / "few.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    return folder / "few.yaml"
