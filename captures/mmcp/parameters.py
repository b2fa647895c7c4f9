"""Who is who in a lab: the capture's ``parameters`` step, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from captures.files.capture import CaptureError, Step
from captures.mmcp.constants import MMCP_PORT
from captures.rules.packs.pack import SECONDS_MAX

_LAST_MEMBER_QUERY_S = 2.0  # two queries, a second apart [RFC 3376 8.8, 8.9; RFC 3810 9.8, 9.9]
_SPT_IN_SRT = 3  # SPT unless the lab says otherwise [7.4]

_PORT_MAX = 65_535
_SESSION_MAX = (1 << 32) - 1
_SPACING_MAX_NS = 1_000_000_000_000
_RETRIES_MAX = 1_000_000


_TOLERANCE_SHARE, _TOLERANCE_MIN_NS = 0.1, 200_000_000


def tolerance_ns(waited_ns: int) -> int:
    """How far from a node's timer what it brings may be: by a tenth, or however short by what a busy machine may be late."""
    return max(round(waited_ns * _TOLERANCE_SHARE), _TOLERANCE_MIN_NS)


@dataclass(frozen=True, slots=True)
class LocalMobilityController:
    """An LMC as the parameters give it."""

    name: str
    address: str
    interface: str
    point_of_attachment: str


@dataclass(frozen=True, slots=True)
class MobileNode:
    """An MN as the parameters give it: `mn_id` in hex, `addresses` by point of attachment.

    What its `other_interfaces` saw counts as seen at `interface`: an MN is one, by whatever interface it speaks.
    """

    name: str
    mn_id: str
    interface: str
    addresses: Mapping[str, str]
    other_interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """The lab, as its ``parameters`` step describes it; addresses printed canonically, times in the unit named.

    `source`: of a source-specific group, the one it is joined from. `source_interface`: where what the stream's only source
    sends was captured, empty if the lab does not say.
    `session_manager_interface`: where what the SM sends and receives was captured, empty if the lab does not say. `expects`: what the lab is about. `jwt_s` and `join_retries` are what the MNs are given, None where the lab does not say.
    `others`: further sessions of the lab that have MNs, each as if it were the only one;
    `elsewhere`: names of MNs that are in another.
    `last_member_query_s`: how long the routers' own timers let them forward after the last member's leave.
    """

    lab: str
    group: str
    port: int
    session_id: int
    mmcp_port: int
    nominal_spacing_ns: int
    srt_s: float
    session_manager: str
    lmcs: tuple[LocalMobilityController, ...]
    mns: tuple[MobileNode, ...]
    source: str | None = None
    expects: tuple[str, ...] = ()
    spt_s: float = 0.0
    session_manager_interface: str = ""
    last_member_query_s: float = _LAST_MEMBER_QUERY_S
    jwt_s: float | None = None
    join_retries: int | None = None
    others: tuple[Parameters, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    source_interface: str = ""

    @classmethod
    def read(cls, step: Step) -> Parameters:
        """Raises `CaptureError` naming what the step lacks or has wrong.

        Ports are 1 to 65535, times above 0 and at most `SECONDS_MAX`.
        """
        lab = step.fields
        try:
            fields = dict(lab["mmcp"])
            first = cls(
                lab=str(lab.get("lab", "")),
                group=_address(lab["group"]),
                port=_number(lab, "port", 1, _PORT_MAX),
                session_id=_number(fields, "session_id", 0, _SESSION_MAX),
                mmcp_port=_number(fields, "port", 1, _PORT_MAX) if "port" in fields else MMCP_PORT,
                nominal_spacing_ns=_number(lab, "nominal_spacing_ns", 1, _SPACING_MAX_NS),
                srt_s=_seconds(fields, "srt_s"),
                session_manager=_address(fields["sm"]["address"]),
                source=_address(lab["source"]) if lab.get("source") else None,
                lmcs=tuple(
                    LocalMobilityController(
                        str(lmc["name"]),
                        _address(lmc["address"]),
                        str(lmc["interface"]),
                        str(lmc["point_of_attachment"]),
                    )
                    for lmc in fields["lmcs"]
                ),
                mns=tuple(
                    MobileNode(
                        str(mn["name"]),
                        str(mn["id"]).lower(),
                        str(mn["interface"]),
                        {str(poa): _address(address) for poa, address in mn["addresses"].items()},
                        tuple(str(interface) for interface in mn.get("other_interfaces", ())),
                    )
                    for mn in fields["mns"]
                ),
                expects=tuple(map(str, lab.get("expects", ()))),
                spt_s=_seconds(fields, "spt_s") if "spt_s" in fields else _SPT_IN_SRT * _seconds(fields, "srt_s"),
                session_manager_interface=str(fields["sm"].get("interface", "")),
                source_interface=str((lab.get("mcs") or {}).get("interface", "")),
                last_member_query_s=_seconds(fields, "last_member_query_s")
                if "last_member_query_s" in fields
                else _LAST_MEMBER_QUERY_S,
                jwt_s=None if fields.get("jwt_s") is None else _seconds(fields, "jwt_s"),
                join_retries=None
                if fields.get("join_retries") is None
                else _number(fields, "join_retries", 0, _RETRIES_MAX),
            )
            return first._split(fields)
        except KeyError as error:
            raise CaptureError(f"the parameters step (frame {step.number}) lacks {error}") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CaptureError(f"the parameters step (frame {step.number}) has a wrong value: {error}") from error

    def _split(self, fields: Mapping[str, Any]) -> Parameters:
        """The same with the MNs of its own session, and of each other session that has any the same with that one's."""
        own = self.session_id
        of = [int(told.get("session_id", own)) for told in fields["mns"]]

        def members(session_id: int) -> tuple[MobileNode, ...]:
            return tuple(mn for mn, session in zip(self.mns, of, strict=True) if session == session_id)

        others = [
            replace(
                self,
                session_id=_number(session, "session_id", 0, _SESSION_MAX),
                group=_address(session["group"]),
                source=_address(session["source"]) if session.get("source") else None,
                mns=(mns := members(int(session["session_id"]))),
                elsewhere=frozenset(mn.name for mn in self.mns if mn not in mns),
            )
            for session in fields.get("sessions", ())
            if int(session["session_id"]) != own
        ]
        return replace(
            self,
            mns=(mine := members(own)),
            elsewhere=frozenset(mn.name for mn in self.mns if mn not in mine),
            others=tuple(other for other in others if other.mns),
        )

    @property
    def known(self) -> bool:
        """Whether a capture said anything of this."""
        return bool(self.group)

    def lmc_at(self, point_of_attachment: str) -> LocalMobilityController | None:
        """The LMC that serves the point of attachment."""
        return next((lmc for lmc in self.lmcs if lmc.point_of_attachment == point_of_attachment), None)

    def mn(self, name: str) -> MobileNode | None:
        """The MN of that name."""
        return next((mn for mn in self.mns if mn.name == name), None)


UNKNOWN = Parameters("", "", 0, 0, MMCP_PORT, 0, 0.0, "", (), ())
"""Of a capture that nobody tells anything of."""


def _number(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = int(fields[name])
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, not from {least} to {most}")
    return value


def _seconds(fields: Mapping[str, Any], name: str) -> float:
    value = float(fields[name])
    if not 0 < value <= SECONDS_MAX:
        raise ValueError(f"{name} is {value}, not above 0 and at most {SECONDS_MAX:.0f}")
    return value


def _address(text: Any) -> str:
    # An address given with its prefix length is still that address.
    return str(ipaddress.ip_address(str(text).partition("/")[0]))
