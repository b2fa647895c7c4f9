"""Aggregation status reports: what an LMC puts into its ASRs, and what an SM reads from one (clauses 7.4, 8.5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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


def aggregates(
    members: int, reports: Iterable[tuple[MNIdentifier, DataChannelStatus | None]]
) -> Iterator[tuple[Parameter, ...]]:
    """The parameters of the ASRs that ``reports`` need, one after the other; at least one, even about nobody.

    Each holds the full count of ``members`` and as many reports as fit 1400 bytes in either profile [M-12].
    """
    room = AGGREGATE_MAXIMUM - HEADER_SIZE - MEMBERSHIP_PARAMETER_SIZE
    count = Membership(members)
    batch: list[Parameter] = []
    used = 0
    some = False
    for mn_id, status in reports:
        size = _IDENTIFIER_HEADER + len(mn_id.value) + (0 if status is None else STATUS_PARAMETER_SIZE)
        if used + size > room:
            yield (count, *batch)
            batch, used, some = [], 0, True
        batch.append(mn_id)
        if status is not None:
            batch.append(status)
        used += size
    if batch or not some:
        yield (count, *batch)


def reports_in(message: Message) -> Iterator[Report]:
    """The reports of one ASR. A status belongs to the MN ID before it; of several for one MN the first counts."""
    mn_id: bytes | None = None
    status: DataChannelStatus | None = None
    for parameter in message.parameters:
        if isinstance(parameter, MNIdentifier):
            if mn_id is not None:
                yield mn_id, status
            mn_id, status = parameter.value, None
        elif isinstance(parameter, DataChannelStatus) and status is None:
            status = parameter
    if mn_id is not None:
        yield mn_id, status
