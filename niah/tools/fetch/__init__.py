"""Download the footage of a suite from public repositories at fixed commits: `list`, `transfer`, `fetch`."""
