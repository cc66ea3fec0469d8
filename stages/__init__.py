"""What is done to pixels: photos, repair, faces, enlarging, films …; a folder each.

Here at the top: what travels (``media``), what a step is (``base``), and what all folders share.
Imports go film → faces and video → enlarge → photo → credentials → here; faces and video do not
import each other. ``repair``, ``quality`` and ``previews`` import only what is here, and only film
imports them. Not here: who runs a stage, and when."""
