"""What adapters of published checkpoints share. Imports torch, so nothing else in `niah` imports it."""
