"""How many MNs an SM and an LMC carry: their rates against a bare loop's.

Rates are ratios to a loop of the same kind without a protocol (bare_loop.py), since they say more than rates: server and
client are separate processes on 127.0.0.1, the client is the same for both, and the two are measured in turns. Beside each
rate stands the server's own time per datagram, which the client cannot hide.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.core.agent import Endpoint
from agents.mmcp.constants import PacketType
from agents.mmcp.messages import (
    MNIdentifier,
    PoAIdentifier,
    decode,
    lmc_address,
    multicast_address,
)
from tests.bench.members import GROUP, GROUP_PORT, HERE, MEMBERS, STATUS, mn_id, packet
from tests.bench.servers import exchange, in_turns, pour, servers, take, told

pytestmark = pytest.mark.timeout(300)

ROUND_TRIP_RATIO = 0.5
INTAKE_RATIO = 0.5


def test_session_join_round_trips(tmp_path: Path) -> None:
    """SJRs of members, as each renewal is one; and of MNs that have left, of whom the SM makes a record and tells."""
    with servers(tmp_path, "sm") as (sm, bare, (_, lmc_port)):
        announcement = packet(PacketType.SJR, MNIdentifier(b"lmc1"), lmc_address(Endpoint(HERE, lmc_port)))
        exchange(sm.socket, [announcement])
        requests = [packet(PacketType.SJR, mn_id(n), PoAIdentifier(b"poa1")) for n in range(MEMBERS)]
        leaves = [packet(PacketType.ULR, mn_id(n)) for n in range(MEMBERS)]
        sm.socket.send(requests[0])
        answer = decode(take(sm.socket))
        assert (answer.packet, answer.accepted, answer.lmc) == (PacketType.SJC, True, Endpoint(HERE, lmc_port))
        rows = in_turns(sm, bare, lambda here: exchange(here, requests))
        renewals = told("SJR -> SJC round trips at the SM", ROUND_TRIP_RATIO, *rows)
        rows = in_turns(sm, bare, lambda here: exchange(here, requests), lambda here: exchange(here, leaves))
        told("the same, each of an MN that had left", None, *rows)
    assert renewals >= ROUND_TRIP_RATIO


def test_status_report_intake(tmp_path: Path) -> None:
    """The client has the SM's port: it is the LMC's SM first, then its MNs."""
    with servers(tmp_path, "lmc") as (lmc, bare, _):
        assert decode(take(lmc.socket)).packet is PacketType.SJR
        lmc.socket.send(packet(PacketType.SJC, multicast_address(GROUP, GROUP_PORT), accepted=True))
        exchange(lmc.socket, [packet(PacketType.LJR, mn_id(n)) for n in range(MEMBERS)])
        reports = [packet(PacketType.USR, mn_id(n), STATUS) for n in range(MEMBERS)]
        stranger = packet(PacketType.ULR, MNIdentifier(b"nobody"))
        ours, others = in_turns(lmc, bare, lambda here: pour(here, reports, stranger))
        ratio = told("USR intake at the LMC", INTAKE_RATIO, ours, others)
        lmc.socket.send(packet(PacketType.USP))
        aggregate = decode(take(lmc.socket))
        assert (aggregate.packet, aggregate.members) == (PacketType.ASR, MEMBERS)
    assert ratio >= INTAKE_RATIO
