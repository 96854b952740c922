"""What a config of concepts runs, a task a file."""
