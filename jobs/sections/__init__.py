"""Sections of the job schema that have a file of their own. Not here: the schema as a whole, which
is ``jobs/spec.py``."""
