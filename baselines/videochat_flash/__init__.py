"""VideoChat-Flash (arXiv 2501.00574): 16 merged tokens a frame, visual tokens dropped inside the language model."""
