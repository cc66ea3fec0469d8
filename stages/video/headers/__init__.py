"""Headers that FFmpeg does not read or write for us: H.264, HEVC, Matroska.

Not here: packets and their times."""
