"""Train a micro ViLaMP from scratch: first the encoders, then the connectors and the language model."""
