"""What is done to pixels: photos, faces, enlarging, films; a folder each.

Here at the top: what travels (``media``), what a step is (``base``), and what all folders share.
Imports go film → video → faces → enlarge → photo → here. Not here: who runs a stage, and when."""
