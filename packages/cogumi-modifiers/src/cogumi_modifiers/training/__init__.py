"""The training loop and what it needs: rendering, checkpoints, the optimiser, adapters and their GGUF form."""
