"""The table as printed text: one page per model."""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.layout import ALL, ROWS, format_depth, format_length
from niah.analysis.table import UNGUESSABLE, Row

FAILURES = ("oom", "error", "timeout", "missing")


def summary_page(rows: Sequence[Row]) -> str:
    """Return, for each model, accuracy per condition, the lengths x depths of `full`, and retention."""
    pages = list(dict.fromkeys((row.model, row.suite) for row in rows))
    return "\n\n".join(_page([row for row in rows if (row.model, row.suite) == page]) for page in pages) or "no cases"


def _page(rows: Sequence[Row]) -> str:
    """Return one model's page."""
    whole = [row for row in rows if row.length == ALL and row.depth == ALL]
    width = max(14, *(len(row.type) + 1 for row in whole)) if whole else 14
    lines = [
        f"{rows[0].model} on suite {rows[0].suite}",
        "",
        f"{'condition':<13}{'type':<{width}}{'accuracy':>9}  {'Wilson':<16}{'clustered':<16}{'n':>5}  failed",
    ]
    for row in whole:
        failed = ", ".join(f"{getattr(row, name)} {name}" for name in FAILURES if getattr(row, name))
        lines.append(
            f"{row.condition:<13}{row.type:<{width}}{_accuracy(row):>9}  {_interval(row.low, row.high):<16}"
            f"{_interval(row.cluster_low, row.cluster_high):<16}{row.n:>5}  {failed or '-'}"
        )
    lines.append("clustered: 95 % interval by needle source, to report; Wilson: as if answers were independent")
    full = [row for row in rows if row.condition == "full" and row.length_by != "bin"]
    all_types = [row for row in full if row.type == ALL]
    lines += ["", *_grid([row for row in full if row.length != ALL])]
    lines += ["", *_retention(all_types), *_hits(all_types)]
    return "\n".join(lines)


def _grid(rows: Sequence[Row]) -> list[str]:
    """Return accuracy of `full` over lengths, a line per depth and then per type, marked where cases failed."""
    if not rows:
        return ["no full cases"]
    cells = {(row.type, row.depth, row.length): row for row in rows}
    lengths = list(dict.fromkeys(row.length for row in rows))
    depths = list(dict.fromkeys(row.depth for row in rows))
    types = list(dict.fromkeys(row.type for row in rows))
    labelled = [(format_depth(depth), ALL, depth) for depth in depths]
    if len(types) > 2:  # "all" and at least two others
        labelled += [(kind, kind, ALL) for kind in types if kind != ALL]
    head = f"full: {ROWS.get(rows[0].kind, 'depth')}"
    width = max(13, len(head) + 1, *(len(label) + 1 for label, _, _ in labelled))
    lines = [f"{head:<{width}}" + "".join(f"{format_length(length):>13}" for length in lengths)]
    for label, kind, depth in labelled:
        lines.append(f"{label:<{width}}" + "".join(f"{_cell(cells[kind, depth, length]):>13}" for length in lengths))
    return [*lines, "(n)  * some cases failed or are missing"]


def _cell(row: Row) -> str:
    """Return one cell: accuracy and n, or why there is none."""
    if row.n:
        return f"{_accuracy(row)} ({row.n}){'*' if row.failed else ' '}"
    if row.oom:
        return "OOM "
    return "failed " if row.error + row.timeout else "- "


def _retention(full: Sequence[Row]) -> list[str]:
    """Return retention per length, or why there is none; nothing where no case has a haystack."""
    if not full:
        return []
    lines = [
        f"{format_length(row.length):<13}{row.retention:>9.1%}  "
        f"{_interval(row.retention_low, row.retention_high)}  n {row.n}"
        for row in full
        if row.retention is not None and row.depth == ALL
    ]
    kind = full[0].kind
    guessing = "swapped" if kind == "first" else "chance" if kind in UNGUESSABLE else "blind"
    if lines:
        return [f"retention = (full - {guessing}) / (needle_only - {guessing}), by length", *lines]
    return [f"no retention: needle_only is not significantly above {guessing}, or one of the two was not asked"]


def _hits(full: Sequence[Row]) -> list[str]:
    """Return how often the kept frames include one of the needle, and how often random frames would."""
    return [
        f"needle among the kept frames: {row.hit_share:.1%} of {row.kept} cases, "
        f"{row.hit_chance:.1%} for as many random frames"
        for row in full
        if row.length == ALL and row.depth == ALL and row.kept
    ]


def _accuracy(row: Row) -> str:
    return "-" if row.accuracy is None else f"{row.accuracy:.1%}"


def _interval(low: float | None, high: float | None) -> str:
    """Return an interval in per cent; a dash if there is none."""
    return "-" if low is None or high is None else f"[{low:.1%}, {high:.1%}]"
