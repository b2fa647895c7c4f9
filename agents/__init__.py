"""The protocols: every role of every protocol as a small agent.

``core`` holds what all share, and each protocol has a room of its own beside it; none of them does input or output, reads
a clock or draws a random number. ``runtime`` gives them sockets and time, and ``media`` is the data plane. Run one with
``python -m agents PROTOCOL ROLE --config FILE``; `agents.protocols` says how the rooms are found.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
