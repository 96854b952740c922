"""What explanations are worth: measurements of heatmaps and masks."""
