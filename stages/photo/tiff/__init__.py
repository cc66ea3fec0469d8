"""What TIFF files say of their pixels, and the pixels, read and written strip by strip.

Not here: their tags, which EXIF blocks and camera raws have too (``metadata.tiff_tags``)."""
