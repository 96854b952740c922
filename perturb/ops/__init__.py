"""The mathematics that methods share: perturbations, masks, areas, heatmaps."""
