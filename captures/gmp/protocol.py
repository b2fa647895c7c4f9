"""GMP, the Group Management Protocol [X.602]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from captures.gmp.constants import FRAMING, GMP_MM_PORT, GMP_SM_PORT
from captures.gmp.words import words
from captures.protocol import Carrier, Compared, Figure, Protocol, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from captures.additions import Additions
    from captures.gmp.lab import Lab
    from captures.rules.packs.pack import Pack, Settings


def _dissect(data: bytes, module: str = "SM") -> dict[str, Any]:
    from captures.gmp import dissector

    return dissector.dissect(data, module)


def _fields(_payload: bytes, message: dict[str, Any]) -> dict[str, Any]:
    """What an event says of a message: its header as `dissect` has it, and what its options say in place of them."""
    from captures.gmp.messages import told

    return told(message)


def _rules(settings: Settings) -> Pack:
    from captures.gmp.rules.wire import gmp_pack

    return gmp_pack(settings)


def _report(lab: Lab, records: Mapping[str, Any], failed: Collection[str]) -> Additions:
    from captures.gmp.chapters import additions

    return additions(lab, records, failed)


MEMBERS = Compared(
    "members",
    name="member",
    group="kind",
    figures=(
        Figure("registered_after_ms", "SRREQ-SRACC"),
        Figure("enrolled_after_ms", "SJREQ-SJRES"),
        Figure("active_after_ms", "SAREQ-KARES"),
        Figure("answer_ms", "KAREQ-KARES"),
    ),
    note="in ms, as the server's link shows it",
)

PROTOCOL = Protocol(
    name="gmp",
    carriers=(
        Carrier("udp", GMP_SM_PORT, "SM"),
        Carrier("udp", GMP_MM_PORT, "MM"),
        Carrier("tcp", GMP_SM_PORT, "SM"),
        Carrier("tcp", GMP_MM_PORT, "MM"),
    ),
    framing=FRAMING,
    dissect=_dissect,
    fields=_fields,
    rules=_rules,
    words=words,
    periodic=frozenset({"KAREQ", "KARES"}),
    compared=(MEMBERS,),
    report=_report,
    roles=(
        Role("server", "GMP server", "server"),
        Role("creator", "creator of the session", "creator"),
        Role("participant", "participant", "participant"),
    ),
)
