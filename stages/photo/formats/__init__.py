"""How each kind of photo file is decoded and encoded.

Not here: colours, orientation and bit depth, which are the same for all formats."""
