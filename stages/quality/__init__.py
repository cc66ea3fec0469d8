"""How good pictures look before and after, with nothing to compare them with.

Not here: the metrics themselves (``models/metrics``), likeness of faces (``stages/faces``), scores
against a truth (``pipeline/evaluate``). Looking changes no result."""
