"""Training from the command line: recipe files, face crops to train on, Ray Train.

Not here: the training itself (``models.train``)."""
