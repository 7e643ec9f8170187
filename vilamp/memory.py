"""Print what an answer holds in memory of each frame of a video.

The peak comes at the end of prefill. What earlier stages held is less, and given back by then: an embedding of
each frame for selection; one chunk of pixels, of patches and of activations, whatever the length. The store of
features comes on top and is bounded by its setting. Host memory on a CPU, in single precision; 64-bit CPython.
"""

from __future__ import annotations

import argparse

from niah.cli.command import Command
from niah.cli.forward import forward
from niah.exit_codes import DONE
from niah.settings import read_yaml
from niah.terminal import to_stdout
from niah.types import UserError
from vilamp import checkpoint
from vilamp.config import VilampConfig

FLOAT = 4  # bytes
# The harness names every frame: a named tuple 80, its time as text 64, its number 32, its place in a list 8.
KEY = 184
# The video notes what it handed out: a number 32, and room in a set, which doubles now and then, 27 to 107; here 48.
HANDED_OUT = 80


def bytes_per_frame(config: VilampConfig) -> dict[str, int]:
    """Return the bytes that one more frame, one more token that is, adds to the peak of an answer.

    A frame that is kept takes one token for every patch instead; there are at most K of those, whatever the length.
    """
    language = config.language
    head = language.hidden_size // language.heads
    return {
        "visual token": FLOAT * language.hidden_size,
        "keys and values": FLOAT * 2 * language.layers * language.key_value_heads * head,
        "frame keys": KEY,
        "frames handed out": HANDED_OUT,
    }


EXAMPLES = """\
examples:
  niah memory
      of the micro model
  niah memory FOLDER
      of another checkpoint
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a shipped checkpoint or a folder (default: micro)"
    parser.add_argument("checkpoint", nargs="?", default="micro", metavar="CHECKPOINT", help=text)


def _run(options: argparse.Namespace) -> int:
    """Print the parts and their sum."""
    folder = checkpoint.locate(options.checkpoint)
    config = read_yaml(VilampConfig, folder / "config.yaml")
    if config.compression is not None:
        raise UserError(
            f"{folder} has the compressor {config.compression.scheme!r}, and this is about ViLaMP's own; what another "
            "one holds stands in its docstring, in vilamp/compressors"
        )
    parts = bytes_per_frame(config)
    for name, count in {**parts, "bytes a frame": sum(parts.values())}.items():
        to_stdout(f"{name:>20}  {count:,}\n")
    return DONE


COMMAND = Command(_run, EXAMPLES, _add_arguments)

if __name__ == "__main__":  # the old name, for one release
    forward("memory")
