"""MMCP messages as plain values, for ``python -m agents decode|encode mmcp`` and for test vectors.

The form: ``{"packet": "SJR", "session_id": 1, "f": 0, "profile": "L16", "params": [["mn_id", "6d6e31"], …]}`` with
parameters in wire order: ``["mn_id", hex]``, ``["poa_id", hex]``, ``["multicast", address, port]``, ``["lmc", address,
port]``, ``["status", packets, seconds]``, ``["membership", MNs]``, and ``["raw", hex]`` for one of unknown type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address

from agents.core.errors import EncodeError
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.messages import (
    DataChannelStatus,
    LMCAddress,
    Membership,
    Message,
    MNIdentifier,
    MulticastAddress,
    Parameter,
    PoAIdentifier,
    UnknownParameter,
)


def to_plain(message: Message) -> dict[str, object]:
    """``message`` as plain values."""
    return {
        "packet": message.packet.name,
        "session_id": message.session_id,
        "f": int(message.accepted),
        "profile": message.profile.value,
        "params": [_parameter_to_plain(parameter) for parameter in message.parameters],
    }


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that ``plain`` describes; raises EncodeError naming the key that is missing or wrong."""
    unknown = set(plain) - {"packet", "session_id", "f", "profile", "params"}
    if unknown:
        raise EncodeError(f"unknown keys: {', '.join(sorted(unknown))}")
    name = plain.get("packet")
    if not isinstance(name, str) or name not in PacketType.__members__:
        raise EncodeError(f"packet: {name!r} is not one of {', '.join(PacketType.__members__)}")
    profile = plain.get("profile", "L16")
    if not isinstance(profile, str) or profile not in Profile.__members__:
        raise EncodeError(f"profile: {profile!r} is not L16 or L8")
    flag = plain.get("f", 0)
    if flag not in (0, 1):
        raise EncodeError(f"f: {flag!r} is not 0 or 1")
    parameters = plain.get("params", [])
    if not isinstance(parameters, list):
        raise EncodeError("params: not a list of [name, value, …]")
    return Message(
        PacketType[name],
        _integer("session_id", plain.get("session_id")),
        tuple(_parameter_from_plain(item) for item in parameters),
        bool(flag),
        Profile(profile),
    )


def _parameter_to_plain(parameter: Parameter) -> list[object]:
    if isinstance(parameter, MNIdentifier):
        return ["mn_id", parameter.value.hex()]
    if isinstance(parameter, PoAIdentifier):
        return ["poa_id", parameter.value.hex()]
    if isinstance(parameter, MulticastAddress):
        return ["multicast", str(ip_address(parameter.packed)), parameter.port]
    if isinstance(parameter, LMCAddress):
        return ["lmc", str(ip_address(parameter.packed)), parameter.port]
    if isinstance(parameter, DataChannelStatus):
        return ["status", parameter.packets_received, parameter.seconds_in_session]
    if isinstance(parameter, Membership):
        return ["membership", parameter.members]
    return ["raw", parameter.raw.hex()]


_PARAMETER_LENGTHS = {"mn_id": 2, "poa_id": 2, "multicast": 3, "lmc": 3, "status": 3, "membership": 2, "raw": 2}


def _parameter_from_plain(item: object) -> Parameter:
    if not isinstance(item, list) or not item or not isinstance(item[0], str) or item[0] not in _PARAMETER_LENGTHS:
        raise EncodeError(f"params: {item!r} does not begin with one of {', '.join(_PARAMETER_LENGTHS)}")
    name = item[0]
    if len(item) != _PARAMETER_LENGTHS[name]:
        raise EncodeError(f"params: {name} takes {_PARAMETER_LENGTHS[name] - 1} values, not {len(item) - 1}")
    return _PARSERS[name](item)


def _integer(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise EncodeError(f"{key}: {value!r} is not an integer")
    return value


def _octets(item: Sequence[object]) -> bytes:
    try:
        return bytes.fromhex(_text(item))
    except ValueError:
        raise EncodeError(f"params: {item[0]} {item[1]!r} is not hexadecimal") from None


def _address(item: Sequence[object]) -> bytes:
    try:
        return ip_address(_text(item)).packed
    except ValueError:
        raise EncodeError(f"params: {item[0]} {item[1]!r} is not an IP address") from None


def _text(item: Sequence[object]) -> str:
    if not isinstance(item[1], str):
        raise ValueError(f"{item[1]!r} is no string")  # noqa: TRY004  both callers say it in their own words
    return item[1]


def _counted(item: Sequence[object], position: int) -> int:
    return _integer(f"params: {item[0]}", item[position])


_PARSERS: dict[str, Callable[[Sequence[object]], Parameter]] = {
    "mn_id": lambda item: MNIdentifier(_octets(item)),
    "poa_id": lambda item: PoAIdentifier(_octets(item)),
    "multicast": lambda item: MulticastAddress(_address(item), _counted(item, 2)),
    "lmc": lambda item: LMCAddress(_address(item), _counted(item, 2)),
    "status": lambda item: DataChannelStatus(_counted(item, 1), _counted(item, 2)),
    "membership": lambda item: Membership(_counted(item, 1)),
    "raw": lambda item: UnknownParameter(_octets(item)),
}
