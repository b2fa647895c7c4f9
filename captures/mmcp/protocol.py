"""MMCP, the Mobile Multicast Control Protocol [X.604.1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from captures.mmcp.constants import MMCP_PORT
from captures.mmcp.tables import HANDOVERS, TOPICS
from captures.mmcp.words import words
from captures.protocol import Carrier, Protocol, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from captures.additions import Additions
    from captures.mmcp.lab import Lab
    from captures.rules.packs.pack import Pack, Settings


def _dissect(data: bytes) -> dict[str, Any]:
    from captures.mmcp import dissector

    return dissector.dissect(data)


def _fields(payload: bytes, message: dict[str, Any]) -> dict[str, Any]:
    """What an event says of a message.

    ``session``, ``f`` and ``reserved`` as they are on the wire, ``profile``, ``params`` in wire order, and of those that it
    holds ``mn_id``, ``poa_id``, ``multicast``, ``lmc``, ``status``, ``membership``; ``mns`` are all MN IDs.
    """
    params = tuple(tuple(parameter) for parameter in message["params"])
    fields: dict[str, Any] = {
        "session": message["session_id"],
        "f": payload[1] & 1,
        "reserved": payload[1] >> 1,
        "profile": message["profile"],
        "params": params,
        "mns": tuple(values[0] for name, *values in params if name == "mn_id"),
    }
    for name, *values in params:
        # Of duplicates the first counts.
        fields.setdefault(name, values[0] if len(values) == 1 else tuple(values))
    return fields


def _rules(settings: Settings) -> Pack:
    from captures.mmcp.rules.wire import mmcp_pack

    return mmcp_pack(settings)


def _report(lab: Lab, records: Mapping[str, Any], failed: Collection[str]) -> Additions:
    from captures.mmcp.chapters import additions

    return additions(lab, records, failed)


PROTOCOL = Protocol(
    name="mmcp",
    carriers=(Carrier("udp", MMCP_PORT),),
    dissect=_dissect,
    fields=_fields,
    rules=_rules,
    words=words,
    periodic=frozenset({"USR", "ASR", "USP"}),
    announced={"lmc": frozenset({"SJR", "SJC"})},
    roles=(
        Role("mn", "mobile node", "mobile node"),
        Role("lmc", "local mobility controller", "LMC"),
        Role("sm", "session manager", "manager"),
    ),
    topics=TOPICS,
    compared=(HANDOVERS,),
    report=_report,
)
