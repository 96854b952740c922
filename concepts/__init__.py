"""What is encoded inside a convolutional network."""
