"""One file a system: its cards, its options, and how it is built from a state dict.

A module with ``FAMILY`` or ``FAMILIES`` is found by the registry; nothing else needs to know it.
Not here: network definitions (``nets``) and where weights come from (``weights``)."""
