"""Everything that happened in a run, on one clock."""
