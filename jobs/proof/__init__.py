"""What keeps a manifest provable: the hold on its folder, its journal, its repair.

Not here: the ledger itself (``jobs/manifest.py``) and its tables (``jobs/database.py``)."""
