"""Content credentials (C2PA): what a result says under a signature of how it was made.

Not here: what its metadata says (``stages.photo.provenance``), and records of a whole job
(``pipeline.provenance``)."""
