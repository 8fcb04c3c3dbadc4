"""Confidence, calibration and routing for Cogumi."""
