"""What is wrong with a model's settings, found before footage is scanned and before a worker starts.

Loading takes from seconds to an hour, so what can be known without it is said at once. The adapter's source is read,
not imported: a missing setting is one that its load() has no default for.
"""

from __future__ import annotations

import re
import subprocess
import sys

from niah.run.adapter_files import literal_constant, required_settings
from niah.run.config import RunConfig
from niah.run.process import worker_environment
from niah.run.registry import adapters
from niah.types import UserError

WEIGHTS = "pretrained"  # the name that lm-eval gives to the setting that names a checkpoint
EXAMPLE = "PRETRAINED_EXAMPLE"  # an adapter's module may assign a hub name to it
CUDA = re.compile(r"cuda(?::(\d+))?")
COUNT_GPUS = "import torch; print(torch.__version__, torch.cuda.device_count())"


def refuse_early(config: RunConfig, target: str) -> None:
    """Raise UserError for a setting that is missing, and for a GPU that is not there."""
    _refuse_missing(config, target)
    _refuse_absent_gpu(config)


def _refuse_missing(config: RunConfig, target: str) -> None:
    """Raise UserError naming the settings that load() needs and was not given."""
    missing = [name for name in required_settings(target) if name not in config.settings()]
    if WEIGHTS in missing:
        example = literal_constant(target, EXAMPLE)
        such_as = f", such as {WEIGHTS}={example}" if example else ""
        complete = [name for name, other in sorted(adapters().items()) if not required_settings(other)]
        raise UserError(
            f"model {config.model!r} needs released weights: --model_args {WEIGHTS}=FOLDER, a checkpoint that you have "
            f"downloaded, or a hub name{such_as}. Models that run without: {', '.join(complete)}"
        )
    if missing:
        given = ",".join(f"{name}=..." for name in missing)
        raise UserError(f"model {config.model!r} needs {' and '.join(missing)}: --model_args {given}")


def _refuse_absent_gpu(config: RunConfig) -> None:
    """Raise UserError where --device names a GPU that the worker's torch does not see.

    Nothing is said of workers on other machines, nor where the worker's interpreter has no torch.
    """
    device = config.settings().get("device")
    match = CUDA.fullmatch(device) if isinstance(device, str) and config.engine == "local" else None
    if match is None:
        return
    counted = _count_gpus(config)
    if counted is None or counted[1] > int(match.group(1) or 0):
        return
    version, count = counted
    seen = f"{count} of them" if count else "no GPU"
    remedy = f"name one of cuda:0 to cuda:{count - 1}" if count else "leave --device out to run on the CPU"
    raise UserError(f"--device {device} needs a GPU, and torch {version} sees {seen}: {remedy}; `niah doctor` says why")


def _count_gpus(config: RunConfig) -> tuple[str, int] | None:
    """Return the version of the worker's torch and how many GPUs it sees; None without a torch that answers."""
    command = [config.python or sys.executable, "-c", COUNT_GPUS]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=worker_environment(), timeout=config.load_timeout, check=True
        )
        version, count = done.stdout.split()
        return version, int(count)
    except (OSError, ValueError, subprocess.SubprocessError):  # loading says what is wrong
        return None
