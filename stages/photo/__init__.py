"""Photos: from a file to an upright picture and back, with all it says beside its pixels.

File formats are in ``formats``, what is kept beside pixels in ``metadata``. Not here: films."""
