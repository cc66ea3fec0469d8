"""What is asked (job files) and what was done (the manifest).

Here: the schema of a job, where its inputs and outputs are, units of work, the ledger. Not here:
anything about pixels, networks or workers; this package imports no other one."""
