"""Run folders into rows: accuracy with intervals, per condition, question type, length and depth."""

from niah.table.reach import reach
from niah.table.reading import Run, join, read_run, told_apart
from niah.table.rows import Row, rows, table, write_table
from niah.table.summary import summary

__all__ = ["Row", "Run", "join", "reach", "read_run", "rows", "summary", "table", "told_apart", "write_table"]
