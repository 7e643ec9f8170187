"""VideoNIAH and lmms-eval: adapters as its model, suites as its tasks, its samples as our records."""
