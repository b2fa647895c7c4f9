"""MMCP's messages in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from captures.mmcp.constants import F_HAS_MEANING
from captures.protocol import Name

_LONGEST = 60  # octets of text that nobody prepared


def words(kind: str, fields: Mapping[str, Any], name: Name) -> str:
    """What a message says."""
    said = [f"F={fields.get('f', 0)}"] if kind in F_HAS_MEANING else []
    return ", ".join([*said, *(_parameter(str(one), values, name) for one, *values in fields.get("params", ()))])


def _parameter(parameter: str, values: list[Any], name: Name) -> str:
    if parameter == "mn_id":
        return f"MN {_readable(values[0])}"
    if parameter == "poa_id":
        return f"PoA {_readable(values[0])}"
    if parameter == "multicast":
        return f"group {values[0]} port {values[1]}"
    if parameter == "lmc":
        return f"LMC {name(values[0])}"
    if parameter == "status":
        return f"{values[0]} packets in {values[1]} s"
    if parameter == "membership":
        return f"{values[0]} members"
    return f"{parameter} {' '.join(map(str, values))}"[:_LONGEST]


def _readable(identifier: str) -> str:
    """An identifier given in hex as the text it is, if it is one."""
    try:
        text = bytes.fromhex(identifier).decode("ascii")
    except ValueError:
        return identifier
    return text if text.isprintable() and text else identifier
