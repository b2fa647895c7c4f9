"""Options that every lab has: which daemons route, what the cells and links are like, how addresses are come by.

A lab's model says how its world is; what a person gives here replaces that in the model, before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from testbed.net.model import Family, Lab, ModelError, Node
from testbed.net.quality_text import QualityError, parse_properties
from testbed.net.wires import with_qualities
from testbed.routing.families import FAMILIES
from testbed.routing.pim import PIMD, speakers
from testbed.run.options import Option, OptionError, Value, Values, choice_option, duration_option, number_option

ELECTED = "elected"
AS_THE_LAB_SAYS = "as the lab says"


def _routing(text: str) -> tuple[str, ...]:
    """``FAMILY`` for all routers, or ``NODE=FAMILY`` for some, after one for all others perhaps."""
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        family = word.rpartition("=")[2]
        if family not in FAMILIES:
            raise OptionError(f"{family!r} is not one of {', '.join(FAMILIES)}")
    named = [word.rpartition("=")[0] for word in words]
    if twice := [node for node in named if node and named.count(node) > 1]:
        raise OptionError(f"{text!r} gives {twice[0]} two families: give it one")
    if named.count("") > 1:
        raise OptionError(f"{text!r}: give one family for all routers, then NODE=FAMILY for those that have another")
    return words


def _optional(option: Option) -> Option:
    """The same option without a default of its own: where it is not given, the model stands."""
    return replace(option, default=None, help=f"{option.help}; {AS_THE_LAB_SAYS} unless given")


def _whole_seconds(option: Option) -> Option:
    """The same duration option, of whole seconds only."""

    def parse(text: str) -> Value:
        value = option.parse(text)
        if not isinstance(value, float) or not value.is_integer():
            raise OptionError(f"{text}: give whole seconds, routing daemons take no fraction of one")
        return value

    return replace(option, parse=parse)


def _links(text: str) -> tuple[str, ...]:
    """``A-B:QUALITY``, or ``A>B:QUALITY`` for one direction, several with semicolons between them."""
    asked = tuple(word.strip() for word in text.split(";") if word.strip())
    for each in asked:
        ends, colon, quality = each.partition(":")
        if not ends or not colon or not quality.strip():
            raise OptionError(f"{each!r}: write A-B:delay=20ms,loss=1%, or A>B:… for one direction")
        try:
            parse_properties(quality)
        except QualityError as error:
            raise OptionError(str(error)) from None
    return asked


WORLD_OPTIONS: tuple[Option, ...] = (
    Option(
        "routing",
        f"What routes multicast: {', '.join(f'{name} ({family.summary})' for name, family in FAMILIES.items())}, or e.g. "
        f"frr,ar1=smcroute; {AS_THE_LAB_SAYS} unless given",
        None,
        _routing,
        "FAMILY",
    ),
    Option(
        "rendezvous-point",
        f"The router that is PIM's, or {ELECTED}: by routers with {PIMD}; {AS_THE_LAB_SAYS} unless given",
        None,
        lambda text: text,
        f"NODE|{ELECTED}",
    ),
    Option(
        "link",
        "What links do to packets, e.g. r1-r2:delay=20ms,loss=1%;r2>r3:rate=10mbit (of delay, jitter, loss, duplicate, "
        f"reorder, rate, queue; a mobile node's link is called NODE-air); {AS_THE_LAB_SAYS} unless given",
        None,
        _links,
        "A-B:QUALITY",
        joined_by=";",
    ),
    *map(
        _optional,
        (
            choice_option("unicast", "Where routers have their routes from", "static", ("static", "ospf")),
            choice_option(
                "snooping", "Whether cells forward a group only to where they heard a report", "off", ("on", "off")
            ),
            _whole_seconds(
                duration_option("query-interval", "Between two general queries of a router", "10s", 1.0, 1800.0)
            ),
            choice_option("igmp", "Version of IGMP", "3", ("2", "3")),
            choice_option("mld", "Version of MLD", "2", ("1", "2")),
            number_option("robustness", "How many losses of a query or report are made up for", "2", 1, 7),
            choice_option(
                "addresses", "How mobile nodes come by their addresses", "static", ("static", "dhcp", "slaac")
            ),
            choice_option("dad", "Duplicate address detection of mobile nodes", "off", ("off", "on", "optimistic")),
        ),
    ),
)


def applied(model: Lab, values: Values) -> Lab:
    """The model with what a person has given in place of what the lab says. Raises ModelError for an unknown router."""
    for name, change in _CHANGES.items():
        if name in values and values.given(name) is not None:
            model = change(model, values.given(name))
    return model


def _route_with(model: Lab, given: Any) -> Lab:
    families = {node: family for node, _, family in (word.rpartition("=") for word in given)}
    everywhere = families.pop("", None)
    for name in families:
        if model.node(name).kind != "router":
            raise ModelError("a host that routes", f"--routing {name}", f"routers: {_names(model.routers())}")

    def changed(node: Node) -> Node:
        # A router that forwards no multicast is meant to.
        family = families.get(node.name, everywhere if node.daemon else None)
        return node if family is None else replace(node, daemon=family)

    return replace(model, nodes=tuple(map(changed, model.nodes)))


def _meet(model: Lab, given: Any) -> Lab:
    if not speakers(model):
        raise ModelError("no router speaks PIM", f"--rendezvous-point {given}", "leave it out")
    if given != ELECTED:
        if model.node(given).kind != "router":
            raise ModelError("a host", f"--rendezvous-point {given}", f"routers: {_names(model.routers())}")
        return replace(model, rendezvous_point=model.address_of(given))
    if not any(node.daemon == PIMD for node in model.nodes):
        raise ModelError("no router is a candidate", f"--rendezvous-point {given}", f"let one route with {PIMD}")
    return replace(model, rendezvous_point="")


def _names(nodes: tuple[Node, ...]) -> str:
    return ", ".join(node.name for node in nodes)


def _snoop(model: Lab, given: Any) -> Lab:
    cells = (replace(cell, mcast_snooping=given == "on") for cell in model.points_of_attachment)
    return replace(model, points_of_attachment=tuple(cells))


def _ask(name: str, kind: Callable[[Any], Value]) -> Callable[[Lab, Any], Lab]:
    def change(model: Lab, given: Any) -> Lab:
        asked: dict[str, Any] = {name: kind(given)}
        return replace(model, membership=replace(model.membership, **asked))

    return change


def _version(name: str, family: Family) -> Callable[[Lab, Any], Lab]:
    """Of IGMP or MLD, which a lab of the other family has none of."""

    def change(model: Lab, given: Any) -> Lab:
        if model.family != family:
            where = f"--{name} {given}"
            raise ModelError(f"this lab is of IPv{model.family}", where, f"give --family {family}, or leave it out")
        return _ask(name, int)(model, given)

    return change


def _query_interval(model: Lab, given: Any) -> Lab:
    """Answers take a fifth of the interval at most, as the lab's own do."""
    interval_s = int(given)
    response_s = min(model.membership.max_response_s, interval_s / 5)
    return replace(model, membership=replace(model.membership, query_interval_s=interval_s, max_response_s=response_s))


_CHANGES: dict[str, Callable[[Lab, Any], Lab]] = {
    "link": with_qualities,
    "routing": _route_with,
    "rendezvous-point": _meet,
    "unicast": lambda model, given: replace(model, unicast=given),
    "snooping": _snoop,
    "query-interval": _query_interval,
    "igmp": _version("igmp", 4),
    "mld": _version("mld", 6),
    "robustness": _ask("robustness", int),
    "addresses": lambda model, given: replace(model, addressing=replace(model.addressing, mode=given)),
    "dad": lambda model, given: replace(model, addressing=replace(model.addressing, duplicate_address_detection=given)),
}
