"""The labs: one file each, with a drawing, ``build`` (the model) and the scenario. Each has a ``TOPOLOGY``."""

from pkgutil import extend_path

# A folder named in PYTHONPATH may bring labs, topologies/<name>.py.
__path__ = extend_path(__path__, __name__)
