"""Export to GGUF and quantisation with llama.cpp."""
