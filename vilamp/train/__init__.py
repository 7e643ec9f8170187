"""Train small ViLaMP models from scratch, and measure what their constants, parts and compressors are worth."""
