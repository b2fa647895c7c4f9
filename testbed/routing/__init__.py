"""Routing: static unicast routes from the model, and one module per family of multicast routing daemon."""
