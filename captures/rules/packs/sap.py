"""Session announcements (SAP) [RFC 2974]: where they go, that a hash stands for one description, and how they are taken back.

How often is not judged: the interval depends on how many others announce, and a lab makes it short.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Key, Rule, on
from captures.rules.operators import Holds
from captures.rules.packs.pack import Pack
from captures.rules.packs.pim import checksum_problem, malformed_problem
from captures.wire.bounded import Bounded

_GLOBAL = "224.2.127.254"
_SCOPED = ip_network("239.0.0.0/8")
_HOPS = 255  # [RFC 2974 3]
_IPV6_GROUP = 0x2_7FFE  # the low octets of ff0X::2:7ffe


def _destination(event: Event) -> str | None:
    """The group of the scope: the highest address of an administratively scoped range [RFC 2974 3]."""
    address = ip_address(event.destination)
    if isinstance(address, IPv4Address):
        right = event.destination == _GLOBAL or (address in _SCOPED and event.destination.endswith(".255"))
    else:
        right = address.is_multicast and int(address) & ((1 << 112) - 1) == _IPV6_GROUP
    return None if right else f"sent to {event.destination}, where nobody listens for announcements"


def _hops(event: Event) -> str | None:
    """TTL 255 where it is sent: routers on its way count it down."""
    hops = event.fields["hop_limit"]
    return None if hops > _HOPS - 64 else f"TTL {hops}, as if it had not been sent with {_HOPS}"


def _origin(event: Event) -> str | None:
    """The originating source has the family that the packet has."""
    same = ip_address(event.fields["origin"]).version == ip_address(event.source).version
    return None if same else f"its origin {event.fields['origin']} is of another family than {event.source}"


class _OneDescription(Checker):
    """The hash of an origin stands for one description: a changed one has another [RFC 2974 3, 6]."""

    goes_by_time = False

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("sap", "announcement")])
        self._payloads: Bounded[Key, tuple[str, int]] = Bounded()

    def event(self, event: Event) -> None:
        key = (event.interface, event.fields["origin"], event.fields["hash"])
        before = self._payloads.get(key)
        if before is not None and before[0] != event.fields["payload"]:
            text = f"announcement of {event.source} (frame {event.number}) changes what frame {before[1]} says under one hash"
            self.tell.failed(event.interface, text, (before[1], event.number))
        else:
            self.tell.passed(event.interface, (event.number,))
        self._payloads.set(key, (event.fields["payload"], event.number))


class _TakenBack(Checker):
    """A deletion takes back what was announced, by its origin, and it is announced no more [RFC 2974 5]."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("sap", "announcement", "deletion")])
        self._deleted: Bounded[Key, int] = Bounded()
        self._announced: Bounded[Key, str] = Bounded()

    def event(self, event: Event) -> None:
        key = (event.interface, event.fields["origin"], event.fields["hash"])
        if event.kind == "announcement":
            deleted = self._deleted.get(key)
            self._announced.set(key, event.source)
            if deleted is not None:
                text = f"announcement of {event.source} (frame {event.number}) after its deletion (frame {deleted})"
                self.tell.failed(event.interface, text, (deleted, event.number))
            return
        by = self._announced.get(key)
        if by is None:
            self.tell.unseen(event.interface, "what it takes back was not seen to be announced")
        elif by != event.source:
            text = f"deletion of {event.source} (frame {event.number}), of what {by} announces"
            self.tell.failed(event.interface, text, (event.number,))
            return
        else:
            self.tell.passed(event.interface, (event.number,))
        self._deleted.set(key, event.number)


def sap_pack() -> Pack:
    """The pack."""
    anything, readable = on("sap"), on("sap", "announcement", "deletion")
    return Pack(
        "sap",
        rules=(
            Rule("sap-well-formed", "RFC 2974 6", "every SAP packet can be read", Holds(anything, malformed_problem)),
            Rule("sap-checksum", "RFC 768", "every checksum is right", Holds(anything, checksum_problem)),
            Rule(
                "sap-destination",
                "RFC 2974 3",
                "announcements go to the group of their scope",
                Holds(readable, _destination),
            ),
            Rule("sap-hop-limit", "RFC 2974 3", "they are sent with TTL 255", Holds(readable, _hops)),
            Rule(
                "sap-origin", "RFC 2974 6", "the originating source is of the packet's family", Holds(readable, _origin)
            ),
            Rule("sap-one-description", "RFC 2974 3, 6", "a changed description has another hash", _OneDescription),
            Rule(
                "sap-taken-back", "RFC 2974 5", "what is taken back was announced, and is announced no more", _TakenBack
            ),
        ),
    )
