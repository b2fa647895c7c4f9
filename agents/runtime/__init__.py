"""The only code that knows asyncio and sockets: it gives an agent ports, time, group memberships and link events.

``host`` drives one agent; the other modules are its hands: ``datagram`` (UDP ports), ``membership`` (IGMP and MLD joins
by the kernel), ``links`` (netlink events and addresses), ``control`` (a Unix socket to ask and tell a running agent),
``tracing`` (the run's history) and ``configuration`` (TOML files).
"""
