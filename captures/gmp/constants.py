"""Where GMP's messages are found, how they follow each other on a connection, and its times."""

from captures.protocol import Framing

GMP_SM_PORT = 16513  # [D G-3]
GMP_MM_PORT = 16514

FRAMING = Framing(length_at=0, length_octets=2, prefix_octets=2, smallest=0, largest=0xFFFF)
"""Over TCP the length of each message stands before it [D G-2]."""

RESEND_S, SENDS = 1.0, 3
"""A request without answer is sent again after so long, so often in all [D G-1]; so is KDUPT, whatever comes [D G-15]."""
AUTHORISATION_S = 30.0  # a client waits so long after SRRES [D G-23]
REMEMBERED_S = 60.0  # that a session was there [D G-24]
PERIOD_DS, TIMEOUT_DS = 50, 150  # in 100 ms, of a description that says none [D G-26]
UIRES_OCTETS = 1400  # above it several follow each other [D G-22]
OTHERS_MAX = (1 << 13) - 1  # as many are told at most [D G-22]
KEY_OCTETS, WRAPPED_OCTETS = 30, 40  # [D G-18]

CREATOR, CORE, PARTICIPANT = 0b100, 0b010, 0b001  # member types [8.4, table 6]
OPEN, CLOSED = 0b01, 0b10  # modes [8.4, table 5]
LEAVES_ACTIVE, LEAVES_ENROLLED, LEAVES_REGISTERED = range(3)  # levels in LVREQ [D G-14]

RESOURCES, NOT_AUTHORISED, NOT_SECURE, UNKNOWN_SESSION, BAD_TOKEN, WRONG_STATE, NO_QOS, BAD_DESCRIPTION = range(1, 9)
"""Reasons of refusals [D G-8, G-16]."""

FROM_CLIENT = frozenset(
    {"SCREQ", "SCINF", "SDREQ", "SRREQ", "SJREQ", "SAREQ", "KARES", "UIREQ", "LVREQ", "TRREQ"}
)  # fmt: skip
FROM_SERVER = frozenset(
    {"SCACC", "SCREJ", "SCCON", "SDRES", "SRRES", "SRACC", "SRREJ", "SJRES", "KAREQ", "UIRES", "TRIND", "KDUPT"}
)  # fmt: skip
SM_REQUESTS = ("SCREQ", "SCINF", "SDREQ", "SRREQ", "SJREQ", "SAREQ")
