"""What photo files say beside their pixels: EXIF, XMP, IPTC, text, and where each format keeps it.

Not here: pixels."""
