"""Who does the work, where and when.

``plan`` makes a job concrete, ``drive`` commits what ``engine`` gives back, ``cli`` and ``api`` are
what people call. Not here: anything that looks at a pixel."""
