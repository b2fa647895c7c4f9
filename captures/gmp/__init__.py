"""GMP before the judge (X.602)."""
