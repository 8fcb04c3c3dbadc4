"""Opening a student for training and writing one back."""
