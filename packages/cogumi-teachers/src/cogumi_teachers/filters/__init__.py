"""Which rows stay, each with a reason."""
