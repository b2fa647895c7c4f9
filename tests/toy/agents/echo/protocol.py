"""The record of echo's roles."""

from agents.core.room import Port, Protocol, Role

from .messages import from_plain, to_plain
from .roles import PORT, Client, Configuration, Server


def family(given: Configuration) -> int:
    """The IP version."""
    return 6 if ":" in given.group else 4


PROTOCOL = Protocol("echo", "Echo: a toy.", (
    Role("server", "Answers, and counts the answers for ever.", Configuration, Server,
         lambda given: (Port("", PORT, family=family(given)), Port("streams", PORT, "tcp", family=family(given)))),
    Role("client", "Asks until it has enough answers.", Configuration, Client, lambda given: (Port(family=family(given)),)),
), to_plain, from_plain)  # fmt: skip
