"""Adapters that stand beside ViLaMP; they import neither `vilamp` nor each other."""
