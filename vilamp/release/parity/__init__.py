"""Compare this project's ViLaMP with numbers recorded from the released code."""
