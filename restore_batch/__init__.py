"""restore-batch: restore old photos and films in bulk, resumably."""

__version__ = "0.1.0"
