"""What a role tells the program that sends or receives its data, and what that program tells it.

The data plane is a process of its own, `agents.media`, which is connected to the application socket of its role
(`agents.runtime.application`): each packet of that socket is one order or one report, a JSON object. A program that has
connected reports at once, since orders given before have not reached it: a role answers a report whose ``generation`` or
``action`` is not what it has ordered with the order that holds. Orders say all there is to know and may be given again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field
from typing import Literal, TypeVar, get_args

from agents.core.checks import check_address, check_port
from agents.core.errors import ConfigurationError, DecodeError
from agents.core.record import record

MASTER_KEY_SIZE = 16  # octets of AES_CM_128_HMAC_SHA1_80's master key [RFC 3711 8.2]
MASTER_SALT_SIZE = 14  # octets of its master salt
KEY_SIZE = MASTER_KEY_SIZE + MASTER_SALT_SIZE
_WORD_MAXIMUM = 0xFFFFFFFF

Action = Literal["send", "receive", "stop"]


@record
class MediaOrder:
    """Send to ``group`` and ``port`` by ``interface``, or receive from there, from now on; or ``stop``.

    With ``key``, 30 octets of master key and salt, the data is SRTP, otherwise plain RTP. ``generation`` counts the keys of
    one session: a sender goes over to a new one at once, so its role gives it when those who receive have it, and a receiver
    still takes data of the one before for a while. ``roll_over_counter`` is that of the sender's stream, as far as the role knows it; a
    sender keeps its own. Who sends passes over "receive", who receives over "send".
    """

    action: Action
    group: str = ""
    port: int = 0
    interface: str = ""
    generation: int = 0
    key: bytes | None = field(default=None, repr=False)  # in no log
    roll_over_counter: int = 0


@record
class MediaReport:
    """What a program does: ``action`` "send" or "receive" as ordered with ``generation``, or "stop" while it has no order.

    ``roll_over_counter`` is that of its stream (a receiver's: of the packet with the highest index), ``packets`` how many it
    has sent or taken since it began. A sender reports when it is connected, at each change, and every second.
    """

    roll_over_counter: int = 0
    packets: int = 0
    generation: int = 0
    action: Action = "stop"


Message = TypeVar("Message", MediaOrder, MediaReport)


def encode(message: MediaOrder | MediaReport) -> bytes:
    """One packet of the application socket."""
    plain = asdict(message)
    if isinstance(message, MediaOrder):
        plain["key"] = None if message.key is None else message.key.hex()
    return json.dumps(plain).encode()


def decode_order(data: bytes) -> MediaOrder:
    """Read an order; raises DecodeError ``media-order``, which shows nothing of a key."""
    order = _decoded(MediaOrder, "media-order", data)
    if order.action != "stop":
        try:
            check_address("group", order.group, multicast=True)
            check_port("port", order.port)
        except ConfigurationError as error:
            raise DecodeError("media-order", str(error)) from None
    return order


def decode_report(data: bytes) -> MediaReport:
    """Read a report; raises DecodeError ``media-report``."""
    return _decoded(MediaReport, "media-report", data)


def _decoded(kind: type[Message], reason: str, data: bytes) -> Message:
    try:
        plain = json.loads(data)
        if not isinstance(plain, dict):
            raise TypeError("no JSON object")
        for name, value in plain.items():
            _check_value(name, value)
        if plain.get("key") is not None:
            plain["key"] = _key(plain["key"])
        return kind(**plain)
    except (TypeError, ValueError, RecursionError) as error:
        detail = type(error).__name__ if isinstance(error, json.JSONDecodeError) else str(error)
        raise DecodeError(reason, detail) from None


def _check_value(name: str, value: object) -> None:
    """Raise TypeError or ValueError for what no field of that name holds; says nothing of the value, which may be a key."""
    if name == "action":
        if value not in get_args(Action):
            raise ValueError(f"the action is none of {', '.join(get_args(Action))}")
    elif name in {"group", "interface", "key"}:
        if not isinstance(value, str) and (name != "key" or value is not None):
            raise TypeError(f"{name} is no text")
    elif type(value) is not int or value < 0 or (name != "packets" and value > _WORD_MAXIMUM):
        raise ValueError(f"{name} is no number of 32 bits")


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise ValueError("the key is not hexadecimal") from None
    if len(key) != KEY_SIZE:
        raise ValueError(f"the key has {len(key)} octets; give {KEY_SIZE}")
    return key
