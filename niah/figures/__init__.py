"""numbers -> pictures."""
