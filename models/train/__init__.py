"""Training: objectives, data, the loop, and recipes."""
