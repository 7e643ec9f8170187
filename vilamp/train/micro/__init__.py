"""Train the micro models that ship: one language model and one footage, a compressor each."""
