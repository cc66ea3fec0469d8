"""Network definitions with the authors' state-dict keys; nothing else."""
