"""Stages that make and thin out rows: prompts, answers, filters, near-duplicates."""
