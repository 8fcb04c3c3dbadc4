"""Readers of benchmark files that a source of prompts and a benchmark share.

They stand here because plugin packages never import each other. What is in a file, and how its questions and right answers are
worded, belongs here; which rows are taken, and how an answer is graded, belongs to the source and the benchmark.
"""
