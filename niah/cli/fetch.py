"""`niah fetch LIST`: download the footage of a suite from public repositories, and check it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.io import replace_file
from niah.terminal import to_stdout
from niah.tools.fetch.fetch import BASE, PARTS, Fetch
from niah.tools.fetch.footage_list import FOOTAGE_FOLDER, ListedFile, licences, read_list
from niah.tools.fetch.transfer import Patience
from niah.types import UserError

MIB = 2**20
EXAMPLES = """\
examples:
  niah fetch open
      three films and other clips for the suite `open`: shows size and licences, asks, downloads, checks
  niah fetch open --yes
      without asking, for scripts
  niah fetch open --from ~/Videos
      copy what a folder of this machine holds, by hash, and download the rest
  niah fetch open --dry_run
      what is here, what is missing, and under which licences; downloads nothing

Files lie in public repositories at fixed commits; the list names repository, commit, parts and SHA-256 of each. The
same command goes on where it was stopped. Licences and attributions are written beside the files, in LICENCES.md.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("list", metavar="LIST", help="open, or a list of your own (a .jsonl file)")
    add_output(parser, "where the footage goes (default: footage/LIST beside the suites, where they look)")
    parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="copy what this folder holds first")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry_run", action="store_true", help="print what would be downloaded, and stop")
    parser.add_argument("--base", default=BASE, metavar="ADDRESS", help="a mirror: OWNER/NAME/COMMIT/PATH lie below it")
    parser.add_argument(
        "--stall_seconds", type=float, default=30.0, metavar="SECONDS", help="for a server to send a byte"
    )


def run(options: argparse.Namespace) -> int:
    """Fetch what is missing. Raises UserError for what the user can fix."""
    list_path, files = read_list(options.list)
    folder = options.output or FOOTAGE_FOLDER / Path(options.list).stem
    fetch = Fetch(folder, list_path, options.base.rstrip("/"), Patience(stall_seconds=options.stall_seconds))
    if options.source is not None and not options.source.is_dir():
        raise UserError(f"--from {options.source} is not a folder; name one that holds some of the files")
    missing = fetch.missing(files)
    to_stdout(_described(files, missing, folder))
    if not missing or options.dry_run:
        return _done(files, folder, bool(missing))
    _ask(options.yes)
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(file.bytes for file in missing), unit="B", unit_scale=True, desc="fetching") as bar:
        fetch = dataclasses.replace(fetch, advance=bar.update)
        if options.source is not None:
            missing = fetch.copy(missing, options.source)
        for file in missing:
            fetch.get(file)
    return _done(files, folder, False)


def _described(files: Sequence[ListedFile], missing: Sequence[ListedFile], folder: Path) -> str:
    """Return what the list holds, what is missing of it, and the licences."""
    counts = Counter(file.licence for file in files)
    size = sum(file.bytes for file in missing) / MIB
    repositories = len({file.repository for file in missing})
    lines = [f"{len(files)} files, for {folder}"]
    lines += [f"  {licence}: {count} file{'s' * (count > 1)}" for licence, count in counts.most_common()]
    what = f"{len(missing)} file{'s' * (len(missing) > 1)}, {size:,.0f} MiB"
    todo = f"missing: {what}, from {repositories} public {'repositories' if repositories > 1 else 'repository'}"
    return "\n".join([*lines, todo if missing else "all are here, and right"]) + "\n"


def _ask(yes: bool) -> None:
    """Return if the user agrees. Raises UserError if not, or if there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is here to be asked: --yes downloads without asking")
    to_stdout("The files keep their licences: attribute them as LICENCES.md will say. Download? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was downloaded")


def _done(files: Sequence[ListedFile], folder: Path, dry: bool) -> int:
    """Write the licences beside the files, remove what the download needed, and print what comes next."""
    if dry:
        return 0
    replace_file(folder / "LICENCES.md", licences(files))
    parts = folder / PARTS
    if parts.is_dir() and not any(parts.iterdir()):
        parts.rmdir()
    to_stdout(f"licences: {folder / 'LICENCES.md'}\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)
