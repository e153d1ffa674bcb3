"""What comes with the package: the model, and the demo."""
