"""What `--help` prints. Nothing here imports JAX: help is there at once."""
