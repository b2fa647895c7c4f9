"""Roles on a network in virtual time: the same cores as on a real network, no privileges, no waiting, no sockets.

``machine`` drives roles in virtual time and does for each what its machine does alone (timers, disk, application); ``network``
is what lies between machines: datagrams, ``groups`` and ``streams`` with their ``faults``. The room of a protocol builds its
``world`` on it, lets things happen there, and says what must be true of that world once it has been quiet; ``command`` makes
a command of that. A run is a function of its options and seed.
"""
