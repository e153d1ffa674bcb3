"""The demo: an embedded stack, synthetic images, and the command that runs both."""
