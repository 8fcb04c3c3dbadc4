"""GGUF as bytes: the header and the tensor types. Running a model is an engine's work."""
