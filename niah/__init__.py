"""VideoNIAH: hide needles in long video, ask, and map the answers. Knows no model."""
