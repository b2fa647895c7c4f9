"""GMP's codes, sizes, timers and bounds (ITU-T X.602), each with its unit and its clause or decision id."""

from __future__ import annotations

from enum import Enum, IntEnum

from agents.core.media_control import KEY_SIZE

VERSION = 1  # [8.2, 8.4]

USER_ID_AT = slice(6, 8)  # of the octets of a message, of either module [8.2, 8.4]
SM_PORT = 16513  # UDP and TCP, the server's module SM [G-3]
MM_PORT = 16514  # UDP and TCP, the server's module MM [G-3]

HEADER_SIZE = 16  # bytes, of both modules' messages [8.2, 8.4]
LENGTH_SIZE = 2  # bytes, before each message on a stream [G-2]
MAXIMUM_MESSAGE_SIZE = 65535 - 8 - 20  # bytes: what fits a UDP datagram over IPv4
OPTION_HEADER_SIZE = 4  # bytes [G-8]
ID_MAXIMUM = 0xFFFF  # of sessions and users, which are 16 bits; 0 is none
OTHERS_MAXIMUM = 0x1FFF  # how many others one word of UIRES can tell: 13 bits [G-22]
USER_INFORMATION_MAXIMUM = 1400  # bytes of one UIRES; more follow [G-22]
NAME_MAXIMUM = 255  # bytes of UTF-8, of sessions and of clients [GI-20]

NO_GROUP = "0.0.0.0"  # a group address that is not said


class SessionPacket(Enum):
    """Types of the messages of module SM [8.2, Table 2].

    No integers: those of both modules begin at 1, and SCREQ must not be taken for KAREQ.
    """

    __hash__ = object.__hash__  # each is itself; an Enum's own hash is a Python function

    SCREQ = 1  # session creation request: creator -> server
    SCACC = 2  # accepted: the session's and the creator's ids
    SCREJ = 3  # rejected
    SDREQ = 4  # session deletion request: creator -> server
    SDRES = 5  # session deletion response
    SCINF = 6  # session creation information, the description: creator -> server
    SCCON = 7  # session creation confirm
    SRREQ = 8  # session registration request: client -> server
    SRRES = 9  # registration is being looked at, in closed mode
    SRACC = 10  # accepted: the client's User ID
    SRREJ = 11  # rejected
    SJREQ = 12  # session join request, which enrols: client -> server
    SJRES = 13  # session join response
    SAREQ = 14  # session activation request: client -> server


class MembershipPacket(Enum):
    """Types of the messages of module MM [8.4, Table 4; KDUPT by G-6]."""

    __hash__ = object.__hash__  # as above

    KAREQ = 1  # keep-alive request: server -> client
    KARES = 2  # keep-alive response
    UIREQ = 3  # user information request: client -> server
    UIRES = 4  # user information response
    LVREQ = 5  # leave request: client -> server
    TRREQ = 6  # termination request: creator -> server
    TRIND = 7  # termination indication: server -> client
    KDUPT = 8  # key distribution and update: server -> client


# Each by its own name: an attribute of an Enum class takes as long as a struct in Python 3.11.
SCREQ, SCACC, SCREJ, SDREQ, SDRES, SCINF, SCCON, SRREQ, SRRES, SRACC, SRREJ, SJREQ, SJRES, SAREQ = SessionPacket
KAREQ, KARES, UIREQ, UIRES, LVREQ, TRREQ, TRIND, KDUPT = MembershipPacket


class MemberType(IntEnum):
    """Member types: exactly one bit [8.4, Table 6; G-26]."""

    PARTICIPANT = 0b001
    CORE = 0b010
    CREATOR = 0b100


class OptionType(IntEnum):
    """Types of the TLVs in options [G-8, G-15, G-25, G-29]."""

    NAME = 1  # name and purpose, UTF-8
    CONTENT = 2  # UTF-8
    OWNER = 3  # UTF-8
    START_TIME = 4  # Unix seconds, 64 bits
    END_TIME = 5  # Unix seconds, 64 bits
    MEDIA = 6  # SDP
    CORE_MEMBER = 7  # a name, UTF-8, repeatable
    KEEP_ALIVE = 8  # period 8, timeout 8, reserved 16
    INVITED_MEMBER = 9  # a name, UTF-8, repeatable
    CLIENT_NAME = 16  # UTF-8
    TOKEN = 17  # access token, opaque
    GROUP_KEY = 18  # wrapped [G-18]
    KEY_GENERATION = 19  # 32 bits
    REJECT_REASON = 20  # 16 bits
    CLIENT_MM_PORT = 21  # 16 bits [G-15]
    START_CONDITION = 22  # 8 bits [G-25]
    ROLL_OVER_COUNTER = 23  # 32 bits [G-29]


class RejectReason(IntEnum):
    """Why a request is refused [G-8, G-16], and which reason stands for what the page gives none [GI-17]."""

    RESOURCES = 1
    NOT_AUTHORISED = 2  # also: from another address than the user's
    SECURE_MODE_UNSUPPORTED = 3
    UNKNOWN_SESSION = 4
    BAD_TOKEN = 5
    WRONG_STATE = 6  # also: the session is not described yet, nobody has that User ID
    QOS_UNSUPPORTED = 7
    DESCRIPTION_MALFORMED = 8  # also: a request without what it must say, such as name, token or port


class StartCondition(IntEnum):
    """What must be before a session starts [G-25]: its creator's KARES, without a SAREQ that was granted, starts none [GI-22]."""

    NONE = 0
    CORE_REGISTERED = 1  # the default
    CORE_ENROLLED = 2


class Level(IntEnum):
    """What a LVREQ leaves: its Reserved octet [G-14]. Each of them, of a core member, ends an active session [GI-23]."""

    ACTIVE = 0
    ENROLLED = 1
    REGISTERED = 2


# Timers. Keep-alive period and timeout stand in messages in units of 100 ms [8.4].
KEEP_ALIVE_UNIT = 0.1  # s
DEFAULT_PERIOD = 50  # 100 ms: 5 s, where the description has no TLV 8 [G-26]
DEFAULT_TIMEOUT = 150  # 100 ms: 15 s [G-26]
REQUEST_TIME = 1.0  # s, before a request is sent again [G-1]
REQUEST_SENDS = 3  # sends of one request at most [G-1]
REGISTRATION_TIME = 30.0  # s, that a client waits after SRRES before it begins again [G-23]
LEAVE_SENDS = 3  # of an LVREQ of level 1 or 2, REQUEST_TIME apart [G-14]
KEY_SENDS = 3  # of each KDUPT [G-15]
KEY_TIME = 1.0  # s, between them [G-15]
ENDED_MEMORY = 60.0  # s, that SDREQ and TRREQ of a session that is gone are answered alike [G-24]

# Secure mode [7.3, G-18]. Sizes in bytes.
GROUP_KEY_SIZE = KEY_SIZE  # SRTP's, for AES_CM_128_HMAC_SHA1_80; a message's Key Length
WRAPPED_KEY_SIZE = 40
WRAPPING_KEY_SIZE = 32
