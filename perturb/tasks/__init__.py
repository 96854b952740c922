"""What a config runs, a file each: `configs/X.py` has `task = 'X'`."""
