"""The contract between trainer and node: bundles, the front end's one definition, runtimes.

Runs on Python 3.6 and later and imports with only NumPy installed.
"""
