"""What age did to a whole picture, undone before faces are looked for: scratches, dust, fading.

Not here: the network that finds damage (``models.families.damage``), and whatever changes sound
parts of a picture (``stages.enlarge``, ``stages.faces``)."""
