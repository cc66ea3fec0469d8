"""Network definitions with the authors' state-dict keys.

Not here: weights, options, and how a picture is brought to a network."""
