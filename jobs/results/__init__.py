"""Where results lie: how they get to their places, and how a look at them is taken.

A folder, or a bucket of an object store; `base.py` says what a ledger asks of either. Not here:
what is on record of them, which is in `jobs/proof/`."""
