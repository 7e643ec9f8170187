"""LLaMA-VID (arXiv 2311.17043): two tokens a frame, one that depends on the question and one pooled."""
