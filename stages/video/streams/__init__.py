"""What goes along with a film's picture: sound, subtitles, data, titles and chapters.

Not here: the picture itself."""
