"""The command line: it parses, calls and prints. Everything it does is a Python call first."""
