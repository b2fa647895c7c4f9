"""Roles on a network in virtual time: the same cores as on a real network, no privileges, no waiting, no sockets.

``network`` carries out what roles ask for; ``mmcp`` builds an MMCP world of cells on it and moves its mobile nodes;
``invariants`` says what must be true of that world once it has been quiet. A run is a function of its plan and seed.
"""
