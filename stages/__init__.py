"""What is done to pixels, one step a file."""
