"""LLaMA-VID (arXiv 2311.17043): two tokens a frame, one asked for by the question and one pooled."""
