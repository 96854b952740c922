"""Weights: PyTorch's files, and folders of our own."""
