"""What is on disk: files, arrays, and the workdir of a run."""
