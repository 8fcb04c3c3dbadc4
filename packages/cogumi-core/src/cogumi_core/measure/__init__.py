"""Measuring and comparing: fidelity of a compressed model, and the statistics that honest figures need.

Stands beside `api`: any package may use it, and it knows no stage.
"""
