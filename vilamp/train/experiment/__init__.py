"""The equal-budget experiment: one model trained anew for every rule of compression, and asked the same cases."""
