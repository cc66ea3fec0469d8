"""What training minimises: pixel, structure, perceptual, adversarial and identity terms.

Not here: the networks that judge, which are families, and the loop that asks them."""
