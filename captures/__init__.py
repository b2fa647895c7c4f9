"""The judge: says from what was captured on every link of a lab, clause by clause, whether the protocols were kept.

Nothing in here imports the agents: message layouts, codes and bounds are stated again from the specification, so
that an error in one of the two does not excuse itself.
"""

from pkgutil import extend_path

# A folder in PYTHONPATH with a folder `captures` of its own adds rooms to this package: see `captures.protocols`.
__path__ = extend_path(__path__, __name__)
