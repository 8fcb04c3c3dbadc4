"""What a model family looks like on disk: configuration, tensor names, shapes."""
