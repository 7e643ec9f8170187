"""VideoNIAH inside lm-eval (and lmms-eval): every adapter is a model there, every suite a task."""
