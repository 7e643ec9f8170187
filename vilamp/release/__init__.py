"""ViLaMP as released: the authors' checkpoints and their arithmetic, streamed."""
