"""From a signal to a probability of being right, and how well that holds."""
