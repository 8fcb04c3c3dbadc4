"""Compressors for Cogumi: everything that makes a model smaller."""
