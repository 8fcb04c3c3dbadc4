"""Which domain a query is of."""
