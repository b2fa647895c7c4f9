"""Multicast routers: one module for each family of routing daemons, all behind the interface of ``router``; see ``families``."""
