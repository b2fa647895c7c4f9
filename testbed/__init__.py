"""The world: labs as data, private namespaces to build them in, real routing daemons and links to build them from.

`model` is a lab before it is processes; `sandbox` gives it namespaces of its own; `mininet_net` builds it there;
`processes`, `routing` and `netlink` run and change it; `checks` and `progress` wait for it and say what they wait for.
"""
