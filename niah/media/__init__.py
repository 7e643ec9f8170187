"""Video files to frames: scan, sample, decode, resize, splice, write."""
