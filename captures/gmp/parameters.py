"""Who is who in a lab of GMP: the section ``gmp`` of its ``parameters`` step, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from captures.files.capture import CaptureError, Step

_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Party:
    """A server, a creator or a participant: its address, and where it is captured, as ``node:interface``, or empty."""

    name: str
    address: str
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The lab as its step describes it. What it does not say is None, or empty.

    `period_s`, `timeout_s`: of the keep-alive. `source_interface`: where what the stream's source sends is captured.
    """

    server: Party
    creator: Party | None
    participants: tuple[Party, ...]
    group: str
    port: int
    closed: bool | None = None
    secure: bool | None = None
    period_s: float | None = None
    timeout_s: float | None = None
    core_members: tuple[str, ...] | None = None
    source_interface: str = ""

    @classmethod
    def read(cls, step: Step) -> Parameters:
        """Raises `CaptureError` naming what the step lacks or has wrong."""
        lab = step.fields
        try:
            fields = dict(lab["gmp"])
            port = int(lab.get("port") or 0)
            if not 0 <= port <= _PORT_MAX:
                raise ValueError(f"port is {port}, not up to {_PORT_MAX}")
            core = fields.get("core_members")
            return cls(
                server=_party(fields["server"]),
                creator=_party(fields["creator"]) if fields.get("creator") else None,
                participants=tuple(_party(entry) for entry in fields.get("participants", ())),
                group=str(ipaddress.ip_address(str(lab["group"]))) if lab.get("group") else "",
                port=port,
                closed=_truth(fields, "closed"),
                secure=_truth(fields, "secure"),
                period_s=None if fields.get("period_s") is None else float(fields["period_s"]),
                timeout_s=None if fields.get("timeout_s") is None else float(fields["timeout_s"]),
                core_members=None if core is None else tuple(map(str, core)),
                source_interface=str((lab.get("mcs") or {}).get("interface", "")),
            )
        except KeyError as error:
            raise CaptureError(f"the parameters step (frame {step.number}) lacks {error}") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CaptureError(f"the parameters step (frame {step.number}) has a wrong value: {error}") from error

    @property
    def clients(self) -> tuple[Party, ...]:
        """Creator and participants."""
        return self.participants if self.creator is None else (self.creator, *self.participants)

    def at(self, address: str) -> Party | None:
        """Who has an address."""
        return next((party for party in (self.server, *self.clients) if party.address == address), None)


def _truth(fields: Mapping[str, Any], name: str) -> bool | None:
    return None if fields.get(name) is None else bool(fields[name])


def _party(entry: Mapping[str, Any]) -> Party:
    address = ipaddress.ip_address(str(entry["address"]).partition("/")[0])
    return Party(str(entry.get("name") or entry.get("node") or address), str(address), str(entry.get("interface", "")))
