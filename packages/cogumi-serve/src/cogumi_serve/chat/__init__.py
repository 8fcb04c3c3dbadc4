"""Talking with a system on a terminal."""
