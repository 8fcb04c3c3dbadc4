"""What is read off an answer and a query."""
