"""What is known about networks: what one is (``base``), which there are (``registry``).

A system is a file in ``families``, its network in ``nets``; ``weights`` brings files here,
``running`` takes pictures through a network, ``train`` makes weights. Not here: photos, films."""
