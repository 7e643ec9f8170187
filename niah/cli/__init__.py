"""The command line: one parser tree, and a file for each command."""
