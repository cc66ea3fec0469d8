"""What training minimises: single terms, the objectives that weigh them, and the discriminators.

``base`` is what an objective is, ``objectives`` those of the systems. Not here: the fixed networks
that judge (VGG, ArcFace, dlib's), which are families, and the loop that asks."""
