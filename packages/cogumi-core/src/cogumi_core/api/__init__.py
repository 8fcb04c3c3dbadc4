"""The contract that plugin authors import: values, interfaces, settings, hooks, events, errors.

Nothing here knows a recipe, a store or a stage, and nothing heavier than pydantic is imported.
"""
