"""The loop from a dataset to stored results, on all devices of all processes."""
