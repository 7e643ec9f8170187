"""Public benchmarks as lm-eval tasks: tables read through `datasets`, prompts and frames as papers and releases say."""
