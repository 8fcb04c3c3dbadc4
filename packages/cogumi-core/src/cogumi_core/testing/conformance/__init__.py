"""Conformance suites: the contracts of `cogumi_core.api.interfaces`, as tests a plugin author inherits. One module a kind.

Subclass the suite of the kind (`from cogumi_core.testing import FilterSuite`) in a test module and name the component; pytest
runs every check. What a suite feeds its component are fixtures, so that a subclass can give better ones.
"""
