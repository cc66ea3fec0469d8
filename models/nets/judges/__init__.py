"""Networks that judge pictures and make none: features, likeness, who somebody is.

Not here: what is minimised with them (``models.train.losses``), and discriminators."""
