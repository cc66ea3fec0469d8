"""Whole pictures made larger: by a network in tiles, or plainly.

Not here: faces."""
