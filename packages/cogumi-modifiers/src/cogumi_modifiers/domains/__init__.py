"""Modifiers: probe, collect failures, train, validate as served, accept or refuse."""
