"""The commands of ``python -m captures``."""
