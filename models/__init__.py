"""What is known about networks: cards, weights, and how to build them."""
