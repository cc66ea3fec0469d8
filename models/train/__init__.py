"""Training: recipes, trainees, the loop, checkpoints and validation.

Objectives are in ``losses``, pictures and their degradation in ``data``. Not here: starting
processes on several machines, which ``pipeline.training`` does."""
