"""The OpenAI-compatible HTTP server. One module an endpoint in `endpoints`; what they share stands beside it."""
