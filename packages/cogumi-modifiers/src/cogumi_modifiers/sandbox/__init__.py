"""Running a program that a model wrote, in a limited subprocess."""
