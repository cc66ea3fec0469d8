"""From pictures through a network and back: crops, batches, threads, searches.

Not here: tiles of whole pictures (``stages.enlarge``) and network definitions (``nets``)."""
