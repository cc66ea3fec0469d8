"""Places in a picture that its metadata speak of (faces, subjects), taken along where it is turned
and sized.

Not here: pixels; what else a packet of XMP or an EXIF block says."""
