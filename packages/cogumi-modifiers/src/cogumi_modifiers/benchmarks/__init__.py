"""Graded tasks in disjoint splits."""
