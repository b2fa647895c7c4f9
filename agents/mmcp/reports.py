"""Aggregation status reports: what an LMC puts into its ASRs, and what an SM reads from one (clauses 7.4, 8.5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from agents.mmcp.constants import (
    AGGREGATE_MAXIMUM,
    HEADER_SIZE,
    MEMBERSHIP_PARAMETER_SIZE,
    STATUS_PARAMETER_SIZE,
)
from agents.mmcp.messages import DataChannelStatus, Membership, Message, MNIdentifier, Parameter

Report = tuple[bytes, DataChannelStatus | None]
"""An MN's identifier, and what it last reported of the data channel."""

_IDENTIFIER_HEADER = 4  # bytes, in the wider profile


class Reported(Protocol):
    """An MN that is reported: its identifier, and its data channel as it last reported it."""

    identifier: MNIdentifier
    status: DataChannelStatus | None


def aggregates(members: Sequence[Reported]) -> Iterator[tuple[Parameter, ...]]:
    """The parameters of the ASRs that ``members`` need, one after the other; at least one, even about nobody.

    Each holds the full count of members and as many of them as fit 1400 bytes in either profile [M-12].
    """
    room = AGGREGATE_MAXIMUM - HEADER_SIZE - MEMBERSHIP_PARAMETER_SIZE
    count = Membership(len(members))
    batch: list[Parameter] = []
    used = 0
    some = False
    for member in members:
        mn_id, status = member.identifier, member.status
        size = _IDENTIFIER_HEADER + len(mn_id.value)
        if status is not None:
            size += STATUS_PARAMETER_SIZE
        if used + size > room:
            yield (count, *batch)
            batch, used, some = [], 0, True
        batch.append(mn_id)
        if status is not None:
            batch.append(status)
        used += size
    if batch or not some:
        yield (count, *batch)


def report_in(message: Message) -> Report:
    """The report of one USR: decode has checked that it names an MN."""
    mn_id: bytes | None = None
    status: DataChannelStatus | None = None
    for parameter in message.parameters:  # in one go, since every report of every MN passes here
        if type(parameter) is MNIdentifier and mn_id is None:
            mn_id = parameter.value
        elif type(parameter) is DataChannelStatus and status is None:
            status = parameter
    assert mn_id is not None
    return mn_id, status


def reports_in(message: Message) -> list[Report]:
    """The reports of one ASR. A status belongs to the MN ID before it; of several for one MN the first counts."""
    reports: list[Report] = []
    mn_id: bytes | None = None
    status: DataChannelStatus | None = None
    for parameter in message.parameters:
        if type(parameter) is MNIdentifier:
            if mn_id is not None:
                reports.append((mn_id, status))
            mn_id, status = parameter.value, None
        elif type(parameter) is DataChannelStatus and status is None:
            status = parameter
    if mn_id is not None:
        reports.append((mn_id, status))
    return reports
