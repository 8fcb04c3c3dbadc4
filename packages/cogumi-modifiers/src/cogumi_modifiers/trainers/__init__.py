"""Components that fit a student on examples."""
