"""Figure 2: accuracy over haystack length and needle depth, a column for each model and a row for each suite.

Drawn twice from the same numbers: as the paper draws it, with the published panels apart, and with a scale that starts
at 0, colours that colour-blind readers tell apart, and the accuracy in every cell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from niah.analysis.kinds import base_model, only_kind
from niah.analysis.load import RunData, join_shards, read_run
from niah.figures.cells import PAPER, HeatmapCell, HeatmapPanel, empty_panel, heatmap_panels, published_panels
from niah.figures.gate import Shares, clips_read, failed_types
from niah.figures.heatmap import binned_heatmap, paper_heatmap
from niah.types import SINGLE, UserError

CONDITION = "full"


def map_panels(folders: Sequence[Path], kind: str = SINGLE) -> list[list[HeatmapPanel]]:
    """Return the panels of runs, a list for each suite, with the models in the same order in each.

    Runs whose every case shows the clip alone (suite `gate`) decide which types of question a panel shows. A model that
    reads none of them needs no other run: its panels are empty and say so, as does that of a suite it was not asked. Of
    runs that ask several kinds of questions, one is shown. Raises UserError where a model has no gate, where nobody was
    asked about 2K to 10K frames, and for a kind whose rows are no depths.
    """
    runs, gates = [], []
    for run in map(read_run, folders):
        is_gate = all(case.condition == "needle_only" for case in run.cases)
        (gates if is_gate else runs).append(run)
    runs = only_kind(join_shards(runs), kind)
    if runs and runs[0].layout.row != "depth":
        raise UserError(
            f"figure2 is over depths, and kind {kind} has rows of {runs[0].layout.row}: niah figures draws it"
        )
    if not runs or not gates:
        raise UserError(
            "figure2 needs runs over lengths and depths, and runs of the same models on the suite gate (clips alone): "
            f"got {len(runs)} of the first and {len(gates)} of the second"
        )
    shares = clips_read(gates)
    models = list(dict.fromkeys([*(base_model(run) for run in runs), *shares]))
    return [_row(suite, models, runs, shares) for suite in dict.fromkeys(run.suite for run in runs)]


def _row(
    suite: str, models: Sequence[str], runs: Sequence[RunData], shares: Mapping[str, Shares]
) -> list[HeatmapPanel]:
    """Return the panel of each model on one suite."""
    asked = [run for run in runs if run.suite == suite]
    types = sorted({case.type for run in asked for case in run.cases})
    drawn = {base_model(run): panel for run in asked for panel in heatmap_panels([run], PAPER, CONDITION, shares)}
    if not drawn:
        raise UserError(f"no run of suite {suite} has a {CONDITION} case of the 2K to 10K frames that figure2 shows")
    pattern = next(iter(drawn.values()))
    panels = []
    for model in models:
        failed, note = failed_types(shares.get(model, {}), types)
        if model in drawn:
            panels.append(dataclasses.replace(drawn[model], note=note))  # its run may leave out what it does not read
        elif failed == types:
            panels.append(empty_panel(pattern, model, "unread", note))
        else:
            panels.append(empty_panel(pattern, model, "missing", "; ".join(filter(None, (note, "not asked")))))
    return panels


def draw_figure2(rows: Sequence[Sequence[HeatmapPanel]]) -> dict[str, Figure]:
    """Return both drawings by the suffix of their names."""
    panels = [panel for row in rows for panel in row]
    across = len(rows[0])
    return {
        "": binned_heatmap(panels, CONDITION, across),
        f"-{PAPER}": paper_heatmap([*panels, *published_panels()], CONDITION, across),
    }


def figure2_cells(rows: Sequence[Sequence[HeatmapPanel]]) -> list[HeatmapCell]:
    """Return every cell, and the means over depths and over lengths with their intervals."""
    return [cell for row in rows for panel in row for cell in (*panel.cells, *panel.margins)]
