"""From a recipe to its result: the workspace, the plan, the forecast, the pipeline.

How one stage does its work is in `stages`; what a person sees is in `cli`.
"""
