"""Pictures of any size through a network, in tiles: where they lie, how they join, what fits.

Imports torch, which the stages above do only when they are opened. Not here: what is enlarged."""
