"""The record of echo's roles."""

from pathlib import Path

from agents.core.pages import Page, Pages
from agents.core.room import Port, Protocol, Role

from .messages import from_plain, to_plain
from .roles import PORT, Client, Configuration, Server


def family(given: Configuration) -> int:
    return 6 if ":" in given.group else 4


PROTOCOL = Protocol("echo", "Echo: a toy.", (
    Role("server", "Answers, and counts the answers for ever.", Configuration, Server,
         lambda given: (Port("", PORT, family=family(given)), Port("streams", PORT, "tcp", family=family(given))),
         pages=Pages("Echo", Path(__file__).parent, (Page("/answers", "answers.html", lambda role, *_: role.describe(), is_live=True),))),
    Role("client", "Asks until it has enough answers.", Configuration, Client, lambda given: (Port(family=family(given)),)),
), to_plain, from_plain)  # fmt: skip
