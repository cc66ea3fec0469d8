"""Several restorers on the same pictures: a run each, then contact sheets.

Not here: a run of one restorer (``drive``)."""
