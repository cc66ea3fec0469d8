"""What keeps a manifest provable: the hold on its folder, its tables, journal and repair; how
results get to their places, and how they stand there.

Not here: what is asked of the ledger (``jobs/ledger.py``) and the ledger whole
(``jobs/manifest.py``)."""
