"""Where a node is, which cells it hears there, and what its links do: pure functions of their arguments and seeds.

`movement` and `traces` say where each node is at a time, `propagation` how strongly it hears each cell from there, and
`link_events` what follows for its links, in the words of IEEE 802.21. Nothing here waits, reads a clock or touches a network;
`testbed.run.mobility` plays the events on a running one.
"""
