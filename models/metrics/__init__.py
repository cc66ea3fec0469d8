"""Metrics: how near a picture is to another, how natural it looks, how steady a film is.

Not here: what training minimises (``models/train/losses``), whose pictures are compared, and what
is made of the scores (``pipeline/evaluate``)."""
