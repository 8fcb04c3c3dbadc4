"""A complete Cogumi plugin. `plugin.py` says what it offers; each other file is one component, on one screen."""
