"""The judge: says from what was captured on every link of a lab, clause by clause, whether the protocols were kept.

Nothing in here imports the agents: message layouts, codes and bounds are stated again from the specification, so
that an error in one of the two does not excuse itself.
"""
