"""VideoNIAH: hide needles in long video, ask, and map the answers. Knows no model."""

__path__.append(f"{__path__[0]}/forwarding")  # niah table and the like, for one release
