"""Sweeps: many runs of one experiment, here, on Slurm, on TPU pods; and what came of them."""
