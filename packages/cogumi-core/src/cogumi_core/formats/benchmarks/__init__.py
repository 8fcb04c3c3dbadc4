"""Readers of benchmark files that both a source of prompts and a benchmark need."""
