"""One thread for torch: at test sizes a second one only waits, and a busy machine makes it wait long."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
