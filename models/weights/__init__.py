"""Weight files: finding, downloading, keeping, recognising and safely reading them.

``store`` is what others ask. Not here: what a network is or does."""
