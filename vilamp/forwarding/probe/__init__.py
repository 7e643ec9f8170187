"""The old names of commands, kept for one release."""
