"""Any image-text-to-text model that transformers reads, asked about frames that are streamed through its processor."""

from baselines.huggingface.adapter import HuggingFace, load

__all__ = ["HuggingFace", "load"]
