"""What nodes of a cluster do not see travels: originals and weights to them, results back.

Not here: Ray, by which it travels (``engine/ray_home.py``), and which nodes see what
(``plan/landmarks.py``)."""
