"""What a person writes: reading it, checking it whole, its JSON Schema, and the student it starts from.

Nothing is built here, and no store is opened.
"""
