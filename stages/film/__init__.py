"""Films as stages: index, preview, segment, join, and what their units carry.

Not here: how a container is read and written (``stages.video``)."""
