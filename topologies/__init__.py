"""The labs: one file each, with a drawing, ``build`` (the model) and the scenario. Each has a ``TOPOLOGY``."""
