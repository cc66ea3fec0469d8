"""What is asked (job files) and what was done (the manifest)."""
