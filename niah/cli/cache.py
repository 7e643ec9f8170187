"""`niah cache list` and `niah cache clean`: list or delete what is kept between runs."""

from __future__ import annotations

import argparse
import time

from niah.cli.command import RESUMED, Command
from niah.io import cache_folder
from niah.terminal import to_stdout
from niah.tools.cache import KINDS, CachedFile, cached_files, clean, foreign_names, parse_age
from niah.types import UserError

MIB = 2**20
EXAMPLES = """\
examples:
  niah cache list
      number and size of the files of each kind, and when they were last used
  niah cache clean --older_than 30d --dry_run
      what would be deleted: everything not used for 30 days (h, d and w: hours, days, weeks)
  niah cache clean --what rendered,downloads
      all files of two kinds

The results of runs are not in the cache. Clean it only while no run is in progress: a run that finds a file missing
records errors, and asks these cases again the next time it is started.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("action", choices=("list", "clean"), help="$VIDEONIAH_CACHE names the folder, if it is set")
    help_text = "clean only files not used for this long: 12h, 30d, 2w (default: files of any age)"
    parser.add_argument("--older_than", metavar="AGE", help=help_text)
    parser.add_argument("--what", metavar="KIND,KIND", help=f"clean only these (default: {','.join(KINDS)})")
    parser.add_argument("--dry_run", action="store_true", help="print what clean would delete, and delete nothing")


def run(options: argparse.Namespace) -> int:
    """List or clean."""
    return _list() if options.action == "list" else _clean(options)


def _list() -> int:
    """Print a line for each kind of file."""
    root = cache_folder()
    found: dict[str, list[CachedFile]] = {kind: [] for kind in KINDS}
    for file in cached_files(root):
        found[file.kind].append(file)
    to_stdout(f"{root}\n{'kind':12} {'files':>7} {'MiB':>9}  last used   what it is\n")
    for kind, files in found.items():
        used = time.strftime("%Y-%m-%d", time.localtime(max(file.used for file in files))) if files else "-"
        size = sum(file.bytes for file in files) / MIB
        to_stdout(f"{kind:12} {len(files):7,} {size:9,.1f}  {used:10}  {KINDS[kind]}\n")
    others = foreign_names(root)
    if others:
        to_stdout(f"not part of the cache, never deleted: {', '.join(others[:10])}\n")
    return 0


def _clean(options: argparse.Namespace) -> int:
    """Delete what the options name, or print what they would delete."""
    kinds = options.what.replace(" ", "").split(",") if options.what is not None else list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"the cache holds no {kind!r}; known: {', '.join(KINDS)}")
    before = time.time() - parse_age(options.older_than) if options.older_than is not None else float("inf")
    root = cache_folder()
    files = [file for file in cached_files(root) if file.kind in kinds and file.used < before]
    if not options.dry_run:
        clean(root, files)
    size = sum(file.bytes for file in files) / MIB
    verb = "would delete" if options.dry_run else "deleted"
    to_stdout(f"{verb} {len(files):,} files, {size:,.1f} MiB, of {root}\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)
