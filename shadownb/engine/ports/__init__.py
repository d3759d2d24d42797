"""The ports: short protocols that say what an implementation has to do. Nothing is implemented here.

For each there is a recipe in CONTRIBUTING.md or a suite of tests in tests/ports; the module of a port names it.
"""
