"""The MN's states and the table of its steps (Annex B.3)."""

from __future__ import annotations

from agents.core.machine import Label, TransitionTable


class State(Label):
    """States of an MN [Annex B.3]."""

    CLOSED = "CLOSED"
    SJR_SENT = "SJR-SENT"
    LJR_SENT = "LJR-SENT"
    ESTABLISHED = "ESTABLISHED"
    HIR_SENT = "HIR-SENT"


class Input(Label):
    """What moves an MN."""

    JOIN = "app: mmcp_join()"
    SJC_WITH_LMC = "recv: SJC with F = 1 and LMC/send: LJR"
    SJC_DIRECT = "recv: SJC with F = 1, no LMC"
    SJC_REFUSED = "recv: SJC with F = 0"
    LJC_ACCEPTED = "recv: LJC with F = 1"
    LJC_REFUSED = "recv: LJC with F = 0"
    LJC_REFUSED_FOR_NOW = "recv: LJC with F = 0, was established before"
    FALL_BACK = "no LMC takes it/send: SJR"
    JOIN_FAILED = "JWT expired, no resend left"
    LINK_TRIGGER = "new PoA detected/send: HIR"
    HIC = "recv: HIC"
    HANDOVER_INITIATION_FAILED = "link down, or HIT expired and no resend left"
    ARRIVED = "link up and new address/send: LJR"
    LEAVE = "app: mmcp_leave()"


MOBILE_NODE_TABLE = TransitionTable(
    "MMCP MN",
    State.CLOSED,
    {
        State.CLOSED: {Input.JOIN: State.SJR_SENT},
        State.SJR_SENT: {
            Input.SJC_WITH_LMC: State.LJR_SENT,
            Input.SJC_DIRECT: State.ESTABLISHED,
            Input.SJC_REFUSED: State.CLOSED,
            Input.JOIN_FAILED: State.CLOSED,
            Input.FALL_BACK: State.SJR_SENT,
            Input.LEAVE: State.CLOSED,
        },
        State.LJR_SENT: {
            Input.LJC_ACCEPTED: State.ESTABLISHED,
            Input.LJC_REFUSED: State.CLOSED,
            Input.LJC_REFUSED_FOR_NOW: State.LJR_SENT,
            Input.JOIN_FAILED: State.CLOSED,
            Input.FALL_BACK: State.SJR_SENT,
            Input.LEAVE: State.CLOSED,
        },
        State.ESTABLISHED: {
            Input.LINK_TRIGGER: State.HIR_SENT,
            Input.ARRIVED: State.LJR_SENT,
            Input.FALL_BACK: State.SJR_SENT,
            Input.LEAVE: State.CLOSED,
        },
        State.HIR_SENT: {
            Input.LINK_TRIGGER: State.HIR_SENT,
            Input.HIC: State.ESTABLISHED,
            Input.HANDOVER_INITIATION_FAILED: State.ESTABLISHED,
            Input.LEAVE: State.CLOSED,
        },
    },
)
