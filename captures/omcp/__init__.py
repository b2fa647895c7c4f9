"""OMCP before the judge."""
