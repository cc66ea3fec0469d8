"""A job made concrete before anything runs: items, networks, stages, workers, keys, estimates.

Not here: running it."""
