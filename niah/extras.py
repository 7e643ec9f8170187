"""Optional packages: which extra of pyproject.toml brings a package, and the error where it is missing."""

from importlib.util import find_spec

from niah.types import UserError

EXTRAS = {
    "lm_eval": "lm-eval",
    "vl_convert": "report",
    "decord": "decord",
    "torchcodec": "torchcodec",
    "openai": "api",
    "ray": "ray",
    "tensorboard": "track",
    "wandb": "track",
    "accelerate": "spread",
    "bitsandbytes": "quantized",
    "sentencepiece": "sentencepiece",
    "vllm": "vllm",
}


def install(package: str) -> str:
    """Return the command that installs an optional package."""
    return f"pip install 'videoniah[{EXTRAS[package]}]'"


def require(package: str, what: str) -> None:
    """Raise UserError if an optional package that `what` needs is not installed; does not import it."""
    if find_spec(package) is None:
        raise UserError(f"{what} needs the package {package}, which is not installed: {install(package)}")
