"""Pictures of results, and the HTML report."""
