"""Video files: probed, indexed, read, written and joined, packet by packet.

``headers`` reads and writes codecs' and containers' own, ``colour`` is for pictures, ``streams``
for what goes along with them; of this folder they import ``types`` alone, ``streams`` also
``headers``. Not here: what is done to the pictures (``stages.film``)."""
