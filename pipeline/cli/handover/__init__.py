"""Commands for who hands results over: records of a whole job, and bags. Not here: what these do,
which is in ``pipeline/provenance``."""
