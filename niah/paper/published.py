"""What the paper prints for its studies, on other benchmarks than ours; only ever shown beside and labelled."""

from __future__ import annotations

import csv

from niah.figures.published import FOLDER
from niah.types import UserError


def table(name: str) -> list[dict[str, str]]:
    """Return the lines of one published table. Raises UserError where the project's data do not lie beside it."""
    path = FOLDER / name
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: published numbers come with a checkout of the project") from None
