"""The record of GMP: its codec, its roles, what a running role is asked and told, its decisions."""

from __future__ import annotations

from agents.core.room import Protocol
from agents.gmp.plain import decode, encode

PROTOCOL = Protocol("gmp", "Group Management Protocol (X.602).", (), decode=decode, encode=encode, modules=("SM", "MM"))
