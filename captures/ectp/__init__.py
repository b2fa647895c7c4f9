"""ECTP before the judge (X.607.1)."""
