"""Workers: the scheduler, what it asks of a backend, threads and Ray actors as backends.

Only ``ray_*`` imports Ray. Not here: what becomes of a result (``drive``)."""
