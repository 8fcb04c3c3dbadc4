"""Finding plugins, keeping a broken one apart, and making components: host and registry.

What a component does, and in which order components run, is not known here.
"""
