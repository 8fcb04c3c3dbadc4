"""Lossless packing."""
