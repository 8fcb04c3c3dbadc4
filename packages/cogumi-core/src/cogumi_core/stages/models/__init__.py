"""Stages that take a model and give one, or measure one: training, compression, fidelity."""
