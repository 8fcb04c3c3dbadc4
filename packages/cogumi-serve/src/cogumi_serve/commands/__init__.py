"""`cogumi ask`, `chat` and `serve`."""
