"""What a run cost: seconds by stage, what reuse saved, memory over length."""
