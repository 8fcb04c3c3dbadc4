"""The content-addressed store: artifacts, fingerprints, digests, building under a lock, collecting what nobody reaches.

What is inside an artifact is the stages' business.
"""
