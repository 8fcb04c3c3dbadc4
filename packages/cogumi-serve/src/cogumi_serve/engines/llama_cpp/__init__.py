"""llama.cpp in process, with adapters swapped at run time."""
