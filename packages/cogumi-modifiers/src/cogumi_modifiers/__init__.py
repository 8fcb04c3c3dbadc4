"""Trainers, benchmarks and domain modifiers for Cogumi: everything that trains and grades."""
