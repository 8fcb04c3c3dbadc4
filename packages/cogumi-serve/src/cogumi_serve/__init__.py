"""Engines and the OpenAI-compatible server of Cogumi."""
