"""One file a photo format: what it is called, how it is known, read and written, and its limits.

A module with a ``FORMAT`` (see ``base``) is a format; ``catalogue`` finds them. Not here: colours,
orientation and bit depth, which are the same for all formats."""
