"""Pictures, one file per kind; matplotlib is imported nowhere else."""
