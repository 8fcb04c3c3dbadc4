"""Files of a Hugging Face directory: safetensors and tokenizers."""
