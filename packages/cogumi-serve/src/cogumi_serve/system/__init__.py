"""A routed system in memory, and the receipt of each answer."""
