"""`niah lm_eval`: lm-eval's own command line, with this project's models and tasks in it."""

from __future__ import annotations

import argparse

from niah.cli.command import Command

EXAMPLES = """\
examples:
  niah lm_eval --model vilamp --tasks videoniah_smoke --output_path out --log_samples
      a suite: results and samples where and as lm-eval writes them
  niah lm_eval --model vilamp --tasks videoniah_smoke_options
      the same, by the likelihood of each option (adapters that score options)
  niah lm_eval --model mymodule:load --tasks videoniah --metadata suite=mine.yaml
      a model in development on a suite of your own
  niah lm_eval --model vilamp --model_args pretrained=FOLDER --preset official --tasks videoniah_mlvu
      a released checkpoint on a benchmark, with the settings, prompt and frames of its release's script (and --metadata
      with the places of its table and videos)
  niah lm_eval ls tasks
      every task, lm-eval's own included

All flags but --preset are lm-eval's: niah lm_eval run --help
"""


def run(options: argparse.Namespace) -> int:
    """Pass everything on to lm-eval."""
    from niah.integrations.lm_eval import cli  # here: --help works where lm-eval is not installed

    return cli.run(options.arguments)


COMMAND = Command(
    run,
    EXAMPLES,
    stopped="stopped; lm-eval writes results at the end only, --use_cache FILE keeps replies until then",
    needs=("lm_eval",),
    passes_on=True,
)
