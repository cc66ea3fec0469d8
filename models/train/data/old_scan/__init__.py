"""What age, handling and a scanner do to a photograph: each kind of damage a module.

Not here: faces and the printed page of :mod:`restore_batch.models.train.data.degrade`; what is
kept in both pictures of a pair (``tone``)."""
