"""Everything beside the package itself: the model, the servers, the demo and the local stack."""
