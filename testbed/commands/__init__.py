"""The commands of ``python -m testbed``, one module a group of them."""
