"""lm-eval's own command line, with this project's models and tasks in it; everything is passed on.

lm-eval up to 0.4.13 looks for models in its own source only, so this registers them first. An adapter goes by
its name, unless lm-eval has a model of that name already (huggingface); videoniah-NAME always works.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from niah.cli.guard import INCOMPLETE, INTERRUPTED, guarded
from niah.integrations.lm_eval.model import model_for
from niah.integrations.lm_eval.refuse import TASKS, given, in_words, refuse_unknown
from niah.run.registry import GROUP

EXAMPLES = """\
examples:
  niah lm_eval --model vilamp --tasks videoniah_smoke --output_path out --log_samples
      a suite: results and samples where and as lm-eval writes them
  niah lm_eval --model vilamp --tasks videoniah_smoke_options
      the same, by the likelihood of each option (adapters that score options)
  niah lm_eval --model mymodule:load --tasks videoniah --metadata suite=mine.yaml
      a model in development on a suite of your own
  niah lm_eval ls tasks
      every task, lm-eval's own included

All flags are lm-eval's: niah lm_eval run --help
"""


def main(arguments: Sequence[str]) -> int:
    """Run lm-eval's command line and return the exit code; what the user can mend is said on stderr."""
    if not arguments or list(arguments) in (["-h"], ["--help"]):
        sys.stdout.write(f"usage: niah lm_eval [lm-eval's flags]\n\n{EXAMPLES}")
        return 0
    return guarded(lambda: _interruptible(list(arguments)))


def register(*targets: str) -> None:
    """Make every installed adapter, and those given as module:function, models of lm-eval."""
    import lm_eval.models  # its own first: theirs keep their names
    from lm_eval.api.registry import model_registry

    del lm_eval
    for name in [point.name for point in entry_points(group=GROUP)]:
        for alias in (name, f"videoniah-{name}"):
            if alias not in model_registry:
                model_registry.register(alias, target=model_for(name))  # type: ignore[arg-type]
    for target in targets:
        if target not in model_registry:
            model_registry.register(target, target=model_for(target))  # type: ignore[arg-type]


def _interruptible(arguments: list[str]) -> int:
    """Run, and say at Ctrl-C what is left: unlike niah.run, lm-eval writes its results at the end only."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; lm-eval writes results at the end only, --use_cache FILE keeps replies until then\n")
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    """Let lm-eval parse and run, having told it where the tasks lie."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    sys.argv = ["niah lm_eval", *arguments]  # where lm-eval reads its command line
    command = HarnessCLI()
    namespace = command.parse_args()
    if hasattr(namespace, "include_path"):
        included = given(namespace, "include_path") or []
        namespace.include_path = [*map(str, TASKS), *([included] if isinstance(included, str) else included)]
    if vars(namespace).get("device"):
        namespace.model_args = {**(namespace.model_args or {}), "device": namespace.device}
    model = given(namespace, "model") or ""
    register(*([model] if ":" in model else []))
    if namespace.command == "run":
        refuse_unknown(namespace)
    unsaved = _Unsaved()
    logging.getLogger("lm_eval").addHandler(unsaved)
    try:
        command.execute(namespace)
    except ValueError as error:  # --log_samples without --output_path, --samples with --limit, ...
        raise in_words(error) from error
    finally:
        logging.getLogger("lm_eval").removeHandler(unsaved)
    if unsaved.said:
        sys.stderr.write(
            f"error: lm-eval says: {'; '.join(unsaved.said)} ({given(namespace, 'output_path')}). What lies there is "
            "not whole: free some space, or name another --output_path\n"
        )
        return INCOMPLETE
    return 0


class _Unsaved(logging.Handler):
    """Notes that results were not saved: lm-eval says so in its log and ends as if all were well."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what it says of results that could not be saved."""
        if record.getMessage().startswith("Could not save"):
            self.said.append(record.getMessage())
