"""The only code that knows asyncio and sockets: it gives an agent ports, streams, time, groups, link events and a store.

``host`` drives one agent, and ``load`` many that load others; the other modules are their hands: ``datagram`` (ports for UDP
and bare IP, with ``detours`` past full buffers), ``streams`` (TCP), ``membership`` (IGMP and MLD joins by the kernel),
``links`` and ``addresses`` (netlink), ``store`` (what must last), ``operator`` and ``application`` (whom a role asks and
works for), ``control`` (to ask and tell a running agent, which ``running`` finds), ``requests`` (what it answers there),
``output`` and ``tracing`` (what it says and its history), ``configuration`` (TOML files) and ``tasks``.
"""
