"""Forms of data and files that several packages share: rows, data sets, tool calls, GGUF headers, benchmark files.

Stands beside `api`: any package may use it, and it knows no stage.
"""
