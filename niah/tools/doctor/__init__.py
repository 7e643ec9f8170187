"""What will not work here, and how to mend it: needs nothing but Python, so that it runs where all else fails."""
