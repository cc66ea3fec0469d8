"""Decoded pictures to R'G'B' and back: matrices, ranges, chroma, high dynamic range.

Not here: photos' profiles (``stages.photo.colour``)."""
