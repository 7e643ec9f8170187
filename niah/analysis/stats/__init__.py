"""How sure a number is: proportions, differences between models, slopes, and what a suite can detect."""
