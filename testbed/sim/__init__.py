"""Roles on a network in virtual time: the same cores as on a real network, no privileges, no waiting, no sockets.

``network`` carries out what roles ask for. The room of a protocol builds its world on it, lets things happen there, and says
what must be true of that world once it has been quiet. A run is a function of its plan and seed.
"""
