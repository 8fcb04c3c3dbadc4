"""What a run hands over: the delivered folder, its manifest and its card."""
