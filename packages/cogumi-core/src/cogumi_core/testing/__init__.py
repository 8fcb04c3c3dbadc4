"""What plugin authors test with: conformance suites, fixtures and fakes."""
