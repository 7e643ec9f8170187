"""What will not work on this machine, and how to fix it. Needs nothing but Python, to run where all else fails."""
