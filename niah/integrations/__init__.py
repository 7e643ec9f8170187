"""The benchmark inside other tools: lm-eval, lmms-eval, public benchmarks, the hub, trackers."""
