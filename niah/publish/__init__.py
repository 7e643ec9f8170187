"""A suite as a `datasets` folder, a run as lm-eval writes one: files for others, never the videos."""

from niah.publish.push import push
from niah.publish.run import write_run
from niah.publish.suite import write_suite

__all__ = ["push", "write_run", "write_suite"]
