"""Memory and time of ViLaMP over lengths: Figure 1 and Table 5, measured."""
