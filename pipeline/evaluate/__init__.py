"""Evaluation: which results belong to which true pictures, their scores, and what can be said of
all of them; and how good pictures are degraded for it.

Not here: the metrics themselves (``models/metrics``), a page of one run (``report``), contact
sheets (``compare``)."""
