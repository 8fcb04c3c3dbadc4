"""Confidence, calibration and routing: when to keep the base's answer, and which adapter gets the query otherwise."""
