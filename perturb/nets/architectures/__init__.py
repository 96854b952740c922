"""The networks under study, a family a file."""
