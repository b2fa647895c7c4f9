"""MMCP's codes, sizes, timers and bounds (ITU-T X.604.1), each with its unit and its clause or decision id.

Clauses are those of X.604.1; ``M-n`` are the decisions this project took where the standard is silent or contradicts
itself. The list of decisions is in ``agents/mmcp/decisions.py``.
"""

from __future__ import annotations

from enum import Enum, IntEnum

DEFAULT_PORT = 24793  # UDP, every role [M-1]

HEADER_SIZE = 8  # bytes [8.1]
MAXIMUM_MESSAGE_SIZE = 65535 - 8 - 40  # bytes: what fits a UDP datagram over IPv6 [8.1: Payload Length is 16 bits]
SESSION_ID_MAXIMUM = 0xFFFFFFFF  # [8.1: 32 bits]

IDENTIFIER_MINIMUM = 1  # bytes, MN ID and PoA ID [8.2.1, 8.2.2]
IDENTIFIER_MAXIMUM = 253  # bytes: what an 8-bit parameter length leaves in profile L8 [M-2]
STATUS_PARAMETER_SIZE = 12  # bytes, header included, in both profiles [8.2.5]
MEMBERSHIP_PARAMETER_SIZE = 8  # bytes, header included, in both profiles [8.2.6]
COUNT_MODULUS = 2**32  # packets received, seconds in session and MNs attached are 32 bits [8.2.5, 8.2.6]
AGGREGATE_MAXIMUM = 1400  # bytes of one ASR; more follow in a row [M-12]
AGGREGATES_PER_TURN = 32  # ASRs sent at once: a third of what a port holds by Linux's default
AGGREGATES_PAUSE = 0.005  # s, before the next of a row [M-12]
ROUNDS_PAUSE = 1.0  # s, after a row that took more than one turn, before another that was asked for meanwhile


class PacketType(IntEnum):
    """Packet types [6.4, Table 1]."""

    SJR = 1  # session join request: MN -> SM
    SJC = 2  # session join confirm: SM -> MN
    LJR = 3  # local join request: MN -> LMC
    LJC = 4  # local join confirm: LMC -> MN
    ULR = 5  # user leave request: MN -> LMC or SM
    ULC = 6  # user leave confirm: LMC or SM -> MN
    USR = 7  # user status report: MN -> LMC or SM
    ASR = 8  # aggregation status report: LMC -> SM
    USP = 9  # user status probe: LMC -> MN, SM -> LMC or MN
    HIR = 10  # handover initiation request: MN -> LMC or SM
    HCT = 11  # handover context transfer: old LMC -> new LMC
    HTA = 12  # handover transfer acknowledgement: new LMC -> old LMC
    HIC = 13  # handover initiation confirm: LMC or SM -> MN


# Each packet type by its own name: an attribute of an Enum class takes as long as a struct in Python 3.11, and roles look
# at several for every datagram.
SJR, SJC, LJR, LJC, ULR, ULC, USR, ASR, USP, HIR, HCT, HTA, HIC = PacketType

# The packets in which F means "accepted"; elsewhere it is sent as 0 and ignored on receipt [8.1].
PACKETS_WITH_ACCEPTED_FLAG = frozenset({SJC, LJC, ULC, HTA, HIC})


class ParameterType(IntEnum):
    """Parameter types [8.2, Table 2]."""

    MN_IDENTIFIER = 1
    POA_IDENTIFIER = 2
    MULTICAST_ADDRESS = 3
    LMC_ADDRESS = 4
    DATA_CHANNEL_STATUS = 5
    MEMBERSHIP = 6


class Profile(Enum):
    """How parameter headers are written [M-2]: L16 is type, reserved, 16-bit length; L8 is type, 8-bit length."""

    L16 = "L16"
    L8 = "L8"

    __hash__ = object.__hash__  # each is itself; an Enum's own hash is a Python function


# Timers, in seconds. [Annex A] names them and gives no values; the values are M-7 to M-10.
JOIN_WAITING_TIME = 2.0  # JWT: wait for SJC or LJC
JOIN_RETRIES = 0  # resends of SJR or LJR after JWT [M-7]
STATUS_REPORT_TIME = 10.0  # SRT: period of USR and ASR
STATUS_PROBE_FACTOR = 3.0  # SPT = 3 x SRT [7.4]
UNANSWERED_PROBES = 3  # USPs without an answer, after which, SPT later, a child has failed [7.4, M-13]
UNANSWERED_RENEWALS = 3  # renewals of a membership without an answer, after which the parent is given up [M-25]
HANDOVER_INITIATION_TIME = 1.0  # HIT: resend of HIR
HANDOVER_INITIATION_SENDS = 3  # sends of one HIR at most [M-8]
CONTEXT_TRANSFER_TIME = 0.25  # CTT: resend of HCT
CONTEXT_TRANSFER_SENDS = 3  # sends of one HCT at most, then HIC F=0 [M-8]
LINGER_TIME = 2.0  # how long a new LMC stays joined after the MN's own LJR [M-10]
# How long an old LMC remembers the confirm of a finished handover, to answer a resent HIR with the same: all sends of
# a HIR at the default HIT, and one more [M-23].
CONFIRM_MEMORY = HANDOVER_INITIATION_TIME * (HANDOVER_INITIATION_SENDS + 1)

# How long an SM waits for the operator's AAA: it must be less than the default JWT, so that the MN hears the refusal [M-30].
AUTHORISATION_TIME = 1.0

TIMER_MINIMUM = 0.01  # s, of every configured timer
TIMER_MAXIMUM = 3600.0  # s
JOIN_RETRIES_MAXIMUM = 10
JOIN_TIME = 0.05  # s: what a kernel needs to send a report after a join (2 timer ticks), with room [M-8]

# A bound on memory: what an LMC or SM keeps per session. More are refused and counted.
MEMBERS_MAXIMUM = 1_000_000
HANDOVERS_MAXIMUM = 4096  # outstanding HCTs of one LMC: each holds a UDP port [M-16]
AUTHORISATIONS_MAXIMUM = 4096  # outstanding questions to the AAA, of one session [M-30]
EXPECTED_MAXIMUM = 65536  # MNs that a new LMC stays joined for
