"""What training looks at: faces, how they are made bad, and how steps get their batches.

Not here: what is minimised (``losses``)."""
