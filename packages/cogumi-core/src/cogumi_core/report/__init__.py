"""The report: what every step of a recipe gained and lost, as data beside the result and as one HTML page.

One folder a section. What a run does is not decided here, and nothing is measured: a report says what the store knows.
"""
