"""One adapter for each kind: turns a narrow component into a file-to-file stage."""
