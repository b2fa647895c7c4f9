"""The protocols: every role of every protocol as a small agent.

``core`` holds what all share and ``mmcp`` (later ``gmp``, ``msmp``, ``omcp``, ``ectp``) one protocol each; none of
them does input or output, reads a clock or draws a random number. ``runtime`` gives them sockets and time, and
``media`` is the data plane. Run one with ``python -m agents PROTOCOL ROLE --config FILE``.
"""
