"""JSON Schema as a grammar that llama.cpp can follow."""
