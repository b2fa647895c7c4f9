"""Hosts and queriers of IGMP [RFC 3376 and its older versions] and MLD [RFC 3810, RFC 2710], as Linux and FRR 10 are.

RFC 9776 and RFC 9777 restate both for other timers' formulas; what is judged here is the same in all of them, save that
they correct how long an older querier is remembered.

Where Linux or FRR does something else than the RFC, the rule says what they do:

- FRR rounds the startup query interval, a quarter of the query interval, down to whole seconds, at least one.
- FRR's pim6d asks one time more in the startup interval than the startup query count says, and every FRR daemon asks again
  at once when its settings change.
- FRR's pim6d knows each member and asks only when the last one leaves, where RFC 3810 7.4.2 asks at any leave.
- FRR asks no group-specific query for link-local groups (224.0.0.0/24, ff02::/16 and smaller scopes).
- FRR at times asks after a leave with a source list of {0.0.0.0} and prunes without asking again, and at times runs two
  series of queries more than there were leaves, so a last member query may be repeated so much more often.
- Linux rounds the time it waits before it reports up to its timer tick, so every bound has some slack.
- A Linux router that is a member answers its own queries; RFC 3376 leaves that open, so it is not asked of the querier.

What a wire does not show, and so is not judged: whether a host has members at all before its first report; reports that
were suppressed by another's in the older versions; a host that leaves the link without a word, which is why a report that
is missing is held against a host only if it is heard again there, no step says that a link changed, and nobody heard it
elsewhere meanwhile. Whether a query was due that a querier did not send for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from captures.dissectors.igmp_mld import ALLOW, BLOCK, MODE_IS_INCLUDE, Query, Report
from captures.history.events import Event
from captures.rules.language import Rule, Unseen, on
from captures.rules.on_purpose import LOSES
from captures.rules.operators import Holds
from captures.rules.packs.igmp_mld_hosts import Compatibility, QueriesAnswered, Repeated
from captures.rules.packs.igmp_mld_queriers import LastMembers, Querier, QueryPace
from captures.rules.packs.pack import Pack
from captures.rules.packs.pim import checksum_problem, malformed_problem


@dataclass(frozen=True)
class _Family:
    """What differs between IGMP and MLD: version of the report with records, and addresses."""

    name: str
    rfc: str
    newest: int
    all_hosts: str
    all_routers: str
    reports_to: str


_IGMP = _Family("igmp", "RFC 3376", 3, "224.0.0.1", "224.0.0.2", "224.0.0.22")
_MLD = _Family("mld", "RFC 3810", 2, "ff02::1", "ff02::2", "ff02::16")


def _message(event: Event) -> Query | Report:
    message: Query | Report = event.fields["message"]
    return message


def _hop_limit(event: Event) -> str | None:
    hops = event.fields["hop_limit"]
    return None if hops == 1 else f"TTL or hop limit {hops}, not 1"


def _alert(event: Event) -> str | None:
    if event.protocol == "igmp" and event.fields["version"] == 1:
        return Unseen("IGMPv1 knows no Router Alert")
    return None if event.fields["alert"] else "no Router Alert option"


def _report_destination(family: _Family, event: Event) -> str | None:
    message = _message(event)
    if isinstance(message, Query):
        return None
    wanted = message.records[0].group if message.version < family.newest else family.reports_to
    if message.leave:
        wanted = family.all_routers
    if event.destination == wanted or (message.leave and event.destination == message.records[0].group):
        return None  # older hosts send their leaves to the group [RFC 2236 3]
    return f"sent to {event.destination}, not to {wanted}"


def _query_destination(family: _Family, event: Event) -> str | None:
    message = _message(event)
    wanted = family.all_hosts
    if isinstance(message, Query) and message.group:
        wanted = message.group
    return None if event.destination == wanted else f"sent to {event.destination}, not to {wanted}"


def _query_fields(event: Event) -> str | None:
    message = _message(event)
    if not isinstance(message, Query):
        return None
    if message.sources and not message.group:
        return "a general query with sources"
    if message.interval_s and not message.group and message.max_response_s >= message.interval_s:
        return f"{message.max_response_s:g} s to respond, as long as the query interval of {message.interval_s} s"
    return None


def _records(family: _Family, event: Event) -> str | None:
    message = _message(event)
    if isinstance(message, Query):
        return None
    for record in message.records:
        address = ip_address(record.group)
        if not MODE_IS_INCLUDE <= record.kind <= BLOCK:
            return f"a record of type {record.kind}"
        if not address.is_multicast:
            return f"{record.group} is no group"
        if record.group == family.all_hosts or (address.version == 6 and address.packed[1] & 15 < 2):
            return f"reports {record.group}, which is never reported"
        if record.kind in (ALLOW, BLOCK) and not record.sources:
            return f"allows or blocks no source of {record.group}"
    return None


def _query_source(event: Event) -> str | None:
    return None if ip_address(event.source).is_link_local else "comes from no link-local address"


def _report_source(event: Event) -> str | None:
    address = ip_address(event.source)
    return None if address.is_link_local or address.is_unspecified else "comes from no link-local address"


def _pack(family: _Family) -> Pack:
    name, rfc = family.name, family.rfc
    sections: Callable[[str, str], str] = lambda igmp, mld: f"{rfc} {igmp if family is _IGMP else mld}"  # noqa: E731  one line each below
    anything = on(name)
    readable = on(name, "query", "report", "leave")
    queries, reports = on(name, "query"), on(name, "report", "leave")
    rules = [
        Rule(f"{name}-well-formed", sections("4", "5"), "every message can be read", Holds(anything, malformed_problem)),
        Rule(f"{name}-checksum", sections("4.1.2", "5.1.2"), "every checksum is right", Holds(anything, checksum_problem)),
        Rule(f"{name}-hop-limit", sections("4", "5"), "TTL or hop limit is 1", Holds(readable, _hop_limit)),
        Rule(f"{name}-router-alert", sections("4", "5"), "the Router Alert option is there", Holds(readable, _alert)),
        Rule(
            f"{name}-report-destination", sections("4.2.14", "5.2.14"),
            f"reports go to {family.reports_to}, older ones to the group, leaves to all routers",
            Holds(reports, partial(_report_destination, family)),
        ),
        Rule(
            f"{name}-query-destination", sections("4.1.12", "5.1.15"),
            f"general queries go to {family.all_hosts}, specific ones to the group",
            Holds(queries, partial(_query_destination, family)),
        ),
        Rule(
            f"{name}-query-fields", sections("4.1, 8.3", "5.1, 9.3"),
            "general queries have no sources, and less time to respond than their interval", Holds(queries, _query_fields),
        ),
        Rule(
            f"{name}-records", sections("4.2.12, 6", "5.2.12, 6"), "records have known types and groups that are reported",
            Holds(reports, partial(_records, family)),
        ),
        Rule(
            f"{name}-query-answered", sections("5.2", "6.2"),
            "a member reports its groups within the maximum response time of a general query",
            lambda tell, coverage: QueriesAnswered(tell, coverage, name, family.newest), spoiled_by=(*LOSES, "delay_s"),
        ),
        Rule(
            f"{name}-report-repeated", sections("5.1, 8.1, 8.11", "6.1, 9.1, 9.11"),
            "a change is reported as often as the robustness variable says, within a second each",
            lambda tell, coverage: Repeated(tell, coverage, name, family.newest), spoiled_by=LOSES,
        ),
        Rule(
            f"{name}-last-member-query", sections("6.4.2, 6.6.3.1", "7.4.2, 7.6.3.1"),
            "the querier asks for others when the last known member leaves, and not without end",
            lambda tell, coverage: LastMembers(tell, coverage, name), spoiled_by=(*LOSES, "delay_s", "duplicate"),
        ),
        Rule(
            f"{name}-querier", sections("6.6.2", "7.6.2"), "a router with a higher address is silent once it hears a querier",
            lambda tell, coverage: Querier(tell, coverage, name), spoiled_by=LOSES,
        ),
        Rule(
            f"{name}-query-period", sections("8.2, 8.6, 8.7", "9.2, 9.6, 9.7"),
            "general queries come once in their interval, at the start once in a quarter of it",
            lambda tell, coverage: QueryPace(tell, coverage, name), spoiled_by=LOSES,
        ),
        Rule(
            f"{name}-compatibility", sections("7.2.1", "8.2.1"), "hosts report in the version of an older querier",
            lambda tell, coverage: Compatibility(tell, coverage, name, family.newest), spoiled_by=(*LOSES, "delay_s"),
        ),
    ]  # fmt: skip
    if family is _MLD:
        rules += [
            Rule("mld-query-source", "RFC 3810 5.1.14", "queries come from link-local addresses", Holds(queries, _query_source)),
            Rule(
                "mld-report-source", "RFC 3810 5.2.13", "reports come from link-local addresses, or from ::",
                Holds(reports, _report_source),
            ),
        ]  # fmt: skip
    return Pack(name, tuple(rules))


def igmp_pack() -> Pack:
    """The pack for IGMP."""
    return _pack(_IGMP)


def mld_pack() -> Pack:
    """The pack for MLD."""
    return _pack(_MLD)
