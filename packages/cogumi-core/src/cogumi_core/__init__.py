"""Plugin host, recipe, store and pipeline of Cogumi."""
