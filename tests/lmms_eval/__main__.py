"""Ask an adapter through the real lmms-eval, on an exported suite and on lmms-eval's own Video-MME scorer: `make lmms`.

It runs in an environment of its own, in which lmms-eval and this project are installed. What it leaves in
results/lmms_eval is committed; tests/niah/integrations/test_lmms_eval_real.py compares lmms-eval's scores there with
ours, sample by sample.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from niah.integrations.benchmarks.sample import write_sample
from niah.io import to_json_lines

WORK = Path("out/lmms")
KEPT = Path("results/lmms_eval")
ADAPTER = "vilamp"  # the micro ViLaMP: it scores options, so its reply is an option's text
NAMES = {"domain": "Knowledge", "sub_category": "Technology", "task_type": "Object Recognition"}  # Video-MME's own
RESULT_KEYS = ("results", "n-samples", "config")


def main() -> int:
    """Export, ask, import, and keep what a test reads."""
    shutil.rmtree(WORK, ignore_errors=True)
    exported, videomme, answers = WORK / "exported", WORK / "videomme", WORK / "answers"
    _call("niah", "export", "smoke", "--to", "lmms_eval", "-o", str(exported))
    _videomme(videomme)
    tasks = "videoniah_smoke,videoniah_smoke_blind,videoniah_videomme"
    shutil.copytree(videomme, exported, dirs_exist_ok=True)
    log = _call(
        "lmms_eval", "--model", "videoniah", "--model_args", f"adapter={ADAPTER}", "--include_path", str(exported),
        "--tasks", tasks, "--batch_size", "1", "--log_samples", "--output_path", str(answers),
    )  # fmt: skip
    _keep(answers, log)
    own = [str(path) for path in sorted(answers.rglob("*_samples_videoniah_smoke*.jsonl"))]
    out = WORK / "run"
    _call("niah", "import", *own, "--suite", str(exported), "-o", str(out), "--no_figures")
    shutil.rmtree(KEPT / "run", ignore_errors=True)
    shutil.copytree(out, KEPT / "run", ignore=shutil.ignore_patterns(".lock", "table.csv"))
    return 0


def _videomme(folder: Path) -> None:
    """Write lmms-eval's Video-MME task over the sample of `niah benchmarks`, its videos where that task looks."""
    table = write_sample(WORK / "hub" / "videomme")
    (WORK / "hub" / "videomme" / "videos").rename(WORK / "hub" / "videomme" / "data")
    rows = [{**json.loads(line), **NAMES} for line in table.read_text().splitlines()]
    folder.mkdir()
    (folder / "videomme.jsonl").write_text(to_json_lines(rows))
    (package,) = find_spec("lmms_eval").submodule_search_locations
    (folder / "videoniah_videomme.yaml").write_text(
        f"include: {package}/tasks/videomme/videomme.yaml\n"
        "task: videoniah_videomme\ndataset_path: json\n"
        "dataset_kwargs: {data_files: {test: videomme.jsonl}}\n"
    )


def _call(module: str, *arguments: str) -> str:
    """Run a command of a module, and return what it printed."""
    hub = {"HF_HOME": str((WORK / "hub").resolve()), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **hub}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    sys.stderr.write(done.stdout[-3000:])
    done.check_returncode()
    return done.stdout


def _keep(answers: Path, log: str) -> None:
    """Copy samples, scores and the last lines of the log, without what names this machine."""
    shutil.rmtree(KEPT / "samples", ignore_errors=True)
    (KEPT / "samples").mkdir(parents=True)
    for path in answers.rglob("*_samples_*.jsonl"):
        shutil.copy(path, KEPT / "samples" / f"lmms_samples_{path.name.partition('_samples_')[2]}")
    (results,) = answers.rglob("*_results.json")
    values = json.loads(results.read_text())
    kept = {key: values[key] for key in RESULT_KEYS} | {"lmms_eval": version("lmms-eval")}  # it logs our branch
    (KEPT / "samples" / "lmms_results.json").write_text(_anonymous(json.dumps(kept, indent=1)) + "\n")
    shown = [line for line in log.replace("\r", "\n").splitlines() if re.match(r"\|", line)]
    (KEPT / "samples" / "table.txt").write_text("\n".join(shown) + "\n")


def _anonymous(text: str) -> str:
    """Return a text without this folder's path."""
    return text.replace(str(Path.cwd()), ".").replace(str(Path.home()), "~")


if __name__ == "__main__":
    sys.exit(main())
