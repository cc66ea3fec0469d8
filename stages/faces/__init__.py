"""Faces: found, aligned, restored, pasted back.

What keeps faces of films from trembling is in ``steady``, which nothing here imports. Not here:
the networks, which are asked by their protocols in ``models.base``."""
