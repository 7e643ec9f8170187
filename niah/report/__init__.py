"""Runs into one page that opens without a server: heatmaps to click through, down to the single case."""

from niah.report.page import write_report

__all__ = ["write_report"]
