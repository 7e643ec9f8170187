"""Video-XL (arXiv 2409.14485) in current torch: long video read window by window into summary tokens."""
