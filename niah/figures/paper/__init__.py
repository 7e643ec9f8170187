"""The studies of ViLaMP's paper on runs of one's own: its Figures 3, 4 and 6, and Tables 2, 3 and 6."""
