"""files -> frames: scan, sample, decode, resize, splice, write."""
