"""The methods, a family a file: pure functions of (f, x, target), see `perturb.base`."""
