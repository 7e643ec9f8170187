"""VideoNIAH and inspect_ai: suites as its tasks, with our scorer."""
