"""The tiny checkpoints of all four releases, with tokenizers, by the name of their adapter."""

import shutil
from pathlib import Path

from tests.helpers import byte_tokenizer, tiny_llama_vid

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
FOLDERS = {  # and the rows of their embeddings
    "vilamp": ("vilamp/tiny", 320),
    "video_xl": ("video_xl/checkpoint", 256),
    "videochat_flash": ("videochat_flash/tiny_checkpoint", 130),
}
NAMES = (*FOLDERS, "llama_vid")


def copy(name: str, folder: Path) -> Path:
    """Copy a release's tiny checkpoint to `folder`, and give it a tokenizer."""
    if name == "llama_vid":
        return tiny_llama_vid.copy(folder)
    place, rows = FOLDERS[name]
    shutil.copytree(REFERENCE / place, folder)
    byte_tokenizer.write(folder, rows)
    return folder
