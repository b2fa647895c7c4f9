"""The rules of MMCP [X.604.1, decisions M-1 to M-28]: what the wire tells, and where it is known who is who more.

Each interface is judged as a witness of its own. Timers are provisioned and not seen; they are taken at their defaults
(`TIMERS`), SRT from the reports themselves, and as a lab's parameters say them.

What a wire does not show, and so no check without `knowing` judges:

- 6, 7.1: whether session, MN, PoA and LMC are known to whom; that the LMC named serves the PoA; who refuses whom and why;
  that SM and LMC agree with what was provisioned. Where a lab's parameters say who is who, it is judged.
- 7.1: no IGMP or MLD report before SJC F=1. A node that comes from where nothing was captured reports at once, and rightly.
- 7.2: that a join is given up after JWT; giving up is silent. M-7, M-20, M-22, M-27: how often requests are sent again at
  most, beyond HIR and HCT, is the sender's choice or provisioned.
- 7.3: leaving without a word is allowed.
- 7.4, M-13: that a dead child does not answer probes: silence is held against a child only if it goes on as if nothing had
  happened. That a failed child is removed and the application told.
- 7.5: that the new LMC joins before its HTA (whose report is whose is told by addresses that a foreign capture does not
  explain), stays joined (M-9, M-10) and sends data; that an LMC forgets the MN, but for what it sends it.
- M-14, M-28: that an MN which has its HIC sends LJR without SJR: its HIC may have been lost behind the capture.
- Whether a request is answered whose answerer is not running, which an ICMP port unreachable shows.
- M-15, M-18, M-19, M-24 to M-26: depend on tables of SM and LMC. M-17 is about the text of the standard.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial

from captures.history.events import Event
from captures.mmcp.constants import F_HAS_MEANING
from captures.mmcp.lab import Lab
from captures.mmcp.rules import children, handover, join, leave, monitoring, session, silence, stream
from captures.mmcp.rules import source_specific as membership
from captures.mmcp.rules.children import asr_names_members, probe_schedule
from captures.mmcp.rules.handover import old_lmc_forgets_mn
from captures.mmcp.rules.leave import leave_answered
from captures.mmcp.rules.monitoring import asr_period, usr_period
from captures.mmcp.rules.session import session_join_order
from captures.mmcp.rules.silence import probe_answered
from captures.mmcp.rules.wire_checks import AggregateReports, Profiles, StatusCounts, Transfers, Unchanging
from captures.mmcp.rules.wire_probes import ProbesAnswered, ProbeSchedule
from captures.rules.language import ANYWHERE, Rule, Seconds, on, rules_in
from captures.rules.operator_answered import Answered
from captures.rules.operators import Asked, Holds, SameAnswer
from captures.rules.operators_time import AtMost, InOrder, NeverBefore, Periodic
from captures.rules.packs.pack import Pack, Settings, Timers
from captures.rules.packs.pim import checksum_problem, malformed_problem

_KNOWING = (session, join, leave, handover, stream, monitoring, children, silence, membership)
"""What only judges where who is who is known, in the order in which a session goes."""

_ASR_MAX_OCTETS = 1400  # [M-12]
_SENDS_MAX = 3  # of HIR and HCT [M-8]
_EARLY = 0.9  # of a timer: what the capture's clock and the sender's may differ
_SPT_IN_SRT = 3
_RESENT_JWT = 1.25  # in which what is sent again after JWT has come
_DEFAULT_SRT_S = 10.0
_BURST_S = 0.1
_AT_ONCE_S = 1.0  # what "at once" may take, or a quarter of SRT if that is less
_LEAVE_S = 0.5  # what "at once" may take of an answer that needs nothing else
_REMEMBERED_HIT = 4  # how long an LMC answers a resent HIR with the same HIC [M-23]

_BELONGS = {
    "SJR": {"mn_id", "poa_id", "lmc"},  # lmc: an LMC that announces itself [M-11]
    "SJC": {"multicast", "lmc"},
    "LJR": {"mn_id"},
    "ULR": {"mn_id"},
    "USR": {"mn_id", "status"},
    "ASR": {"membership", "mn_id", "status"},
    "HIR": {"mn_id", "poa_id"},
    "HCT": {"mn_id", "multicast"},
    "HIC": {"lmc"},
}
"""Parameters by packet; packets without a line have none [8.3 to 8.6]."""

_CONVERSATION = ("session", "conversation")
_MN = ("session", "mn_id")


def _f_bit(event: Event) -> str | None:
    if event.fields["reserved"]:
        return f"reserved bits {event.fields['reserved']:#x} are set"
    if event.fields["f"] and event.kind not in F_HAS_MEANING:
        return "F is set, which means nothing there"
    return None


def _parameters(event: Event) -> str | None:
    names = {name for name, *_ in event.fields["params"] if name != "raw"}
    wrong = sorted(names - _BELONGS.get(event.kind, set()))
    return f"holds {', '.join(wrong)}" if wrong else None


def _refusal(event: Event) -> str | None:
    names = [name for name, *_ in event.fields["params"]]
    return f"refuses, and holds {', '.join(names)}" if names else None


def _size(event: Event) -> str | None:
    octets = event.fields["octets"]
    return None if octets <= _ASR_MAX_OCTETS else f"{octets} octets, more than {_ASR_MAX_OCTETS}"


def _mobile_node(event: Event) -> Hashable | None:
    """The address of the MN or LMC that asks, from its request or from the confirm."""
    return event.destination if event.kind in ("SJC", "LJC", "USP") else event.source


def _with_whom(event: Event) -> Hashable | None:
    """An MN's address and that of its LMC."""
    if event.kind == "SJC":
        return event.destination, event.fields["lmc"][0]
    return (event.destination, event.source) if event.kind == "LJC" else (event.source, event.destination)


def _accepted(event: Event) -> bool:
    return bool(event.fields["f"])


def _refused(event: Event) -> bool:
    return not event.fields["f"]


def _with_lmc(event: Event) -> bool:
    return bool(event.fields["f"]) and "lmc" in event.fields


def _gives_away(event: Event) -> bool:
    """HIC F=1 that names another LMC than its sender."""
    return _with_lmc(event) and event.fields["lmc"][0] != event.source


TIMERS: dict[str, float | None] = {"jwt": 2.0, "srt": None, "spt": None, "hit": 1.0, "ctt": 0.25}
"""Provisioned and not seen on a wire, in seconds: SRT is learned from the reports, SPT is three of it."""


def mmcp_pack(settings: Settings) -> Pack:
    """The pack, with the timers of the settings."""
    timers = Timers(TIMERS, settings.timers)

    def srt(_event: Event) -> float:
        return timers["srt"] or 0.0

    def spt(_event: Event) -> float:
        return timers["spt"] or _SPT_IN_SRT * (timers["srt"] or _DEFAULT_SRT_S)

    def known_spt(_event: Event) -> float:
        return timers["spt"] or _SPT_IN_SRT * (timers["srt"] or 0.0)

    def at_once(_event: Event) -> float:
        return min(_AT_ONCE_S, (timers["srt"] or _DEFAULT_SRT_S) / 4)

    def times(timer: str, factor: float = 1) -> Seconds:
        """So many times what a timer is when it is asked for: a parameters step may set it."""
        return lambda _event: factor * (timers[timer] or 0.0)

    def handover_patience(event: Event) -> float:
        return spt(event) + jwt(event) + 1.0  # the link may go down late

    def join_patience(event: Event) -> float:
        """A join that comes again after JWT is one sent again; one that comes after SPT only renews [M-25]."""
        return min(2 * jwt(event), max(_EARLY * spt(event), _RESENT_JWT * jwt(event)))

    def jwt(_event: Event) -> float:
        return timers["jwt"] or 0.0

    mmcp = partial(on, "mmcp")
    sent = mmcp(where=lambda event: event.kind != "unreachable")
    readable = mmcp(where=lambda event: event.kind not in ("malformed", "unreachable"))
    nobody = mmcp("unreachable")

    return Pack("mmcp", rules=(
        # form
        Rule("mmcp-well-formed", "8", "every datagram on the port is an MMCP message", Holds(sent, malformed_problem)),
        Rule("mmcp-checksum", "RFC 768", "every UDP checksum is right", Holds(sent, checksum_problem)),
        Rule("mmcp-f-bit", "8.1", "F is set only where it has a meaning, reserved bits never", Holds(readable, _f_bit)),
        Rule("mmcp-parameters", "8.3 to 8.6", "a packet holds the parameters of its kind", Holds(readable, _parameters)),
        Rule("mmcp-refusal-empty", "D M-4", "SJC and HIC with F=0 hold nothing",
             Holds(mmcp("SJC", "HIC", where=_refused), _refusal)),
        Rule("mmcp-profile", "D M-2", "a confirm has the parameter profile of its request", Profiles),
        Rule("mmcp-asr-size", "D M-12", "an ASR has 1400 octets at most", Holds(mmcp("ASR"), _size)),
        Rule("mmcp-one-group", "7.1, D M-24", "a session has one group and port", Unchanging,
             explained_by=("mmcp-handover-context",)),
        # session join and leave
        Rule("mmcp-session-join-answered", "7.2, D M-27",
             "SJR is answered with SJC within JWT, or sent again, or the MN leaves",
             Answered(request=mmcp("SJR"), by=mmcp("SJC"), within=jwt, same=_CONVERSATION, patience=join_patience,
                      unless=mmcp("SJR", "ULR"), unless_same=(ANYWHERE, *_MN), void=nobody),
             explained_by=("mmcp-join-order",)),
        Rule("mmcp-local-join-answered", "7.2, D M-22, M-27",
             "LJR is answered with LJC within JWT, or a join sent again, or the MN leaves",
             Answered(request=mmcp("LJR"), by=mmcp("LJC"), within=jwt, same=_CONVERSATION, patience=join_patience,
                      unless=mmcp("SJR", "LJR", "ULR"), unless_same=(ANYWHERE, *_MN), void=nobody)),
        Rule("mmcp-leave-answered", "7.3", "ULR is answered with ULC at once, or sent again after JWT",
             Answered(request=mmcp("ULR"), by=mmcp("ULC"), within=_LEAVE_S, same=_CONVERSATION, patience=times("jwt", _RESENT_JWT),
                      unless=mmcp("ULR"), unless_same=(ANYWHERE, *_MN, "destination"), void=nobody),
             knowing=leave_answered, topics=("leave",)),
        Rule("mmcp-session-confirm-asked", "7.2", "SJC only answers an SJR, once",
             Asked(answer=mmcp("SJC"), by=mmcp("SJR"), within=jwt, same=_CONVERSATION),
             explained_by=("mmcp-failed-lmc-not-assigned",)),
        Rule("mmcp-local-confirm-asked", "7.2", "LJC only answers an LJR, once",
             Asked(answer=mmcp("LJC"), by=mmcp("LJR"), within=jwt, same=_CONVERSATION),
             explained_by=("mmcp-local-join-after-link-up", "mmcp-join-order")),
        Rule("mmcp-leave-confirm-asked", "7.3", "ULC only answers a ULR, once",
             Asked(answer=mmcp("ULC"), by=mmcp("ULR"), within=jwt, same=_CONVERSATION),
             explained_by=("mmcp-leave-answered",)),
        Rule("mmcp-join-order", "7.2", "a join goes SJR, SJC with F=1, LJR, LJC",
             InOrder(order=(mmcp("SJR"), mmcp("SJC", where=_accepted), mmcp("LJR"), mmcp("LJC")),
                      same=("session", _mobile_node), within=times("jwt", 4)),
             knowing=session_join_order, explained_by=("mmcp-join-outcome",)),
        Rule("mmcp-session-join-pace", "7.2, D M-7, M-27", "an SJR without answer is not sent again before JWT",
             AtMost(count=1, pattern=mmcp("SJR"), per=times("jwt", _EARLY), same=_CONVERSATION, reset=mmcp("SJC")),
             explained_by=("mmcp-join-retries",)),
        Rule("mmcp-local-join-pace", "7.2, D M-7, M-27", "an LJR without answer is not sent again before JWT",
             AtMost(count=1, pattern=mmcp("LJR"), per=times("jwt", _EARLY), same=_CONVERSATION,
                     reset=mmcp("LJC", "HIR", "ULR"))),
        Rule("mmcp-report-after-join", "7.2", "no USR between SJC and LJC to the LMC that SJC names",
             NeverBefore(event=mmcp("USR"), first=mmcp("LJC", where=_accepted), same=("session", _with_whom),
                          since=mmcp("SJC", where=_with_lmc)),
             explained_by=("mmcp-join-order",)),
        Rule("mmcp-report-after-local-join", "7.2, 7.5", "no USR to an LMC between the first LJR and its LJC",
             NeverBefore(event=mmcp("USR"), first=mmcp("LJC", where=_accepted), same=_CONVERSATION, since=mmcp("LJR"),
                          forget=mmcp("HIC", "ULC", where=_accepted)),
             explained_by=("mmcp-join-order", "mmcp-local-join-after-link-up")),
        Rule("mmcp-silent-after-leave", "7.3", "no USR after ULR until the MN joins again",
             NeverBefore(event=mmcp("USR"), first=mmcp("SJR", "LJR"), same=_MN, since=mmcp("ULR")),
             explained_by=("mmcp-leave-is-final",)),
        # status monitoring
        Rule("mmcp-usr-period", "7.4", "USR comes every SRT",
             Periodic(pattern=mmcp("USR"), period=srt, same=("session", _mobile_node),
                      restart=mmcp("SJR", "LJR", "HIR", "ULR", "USP"), restart_same=(ANYWHERE, "session", _mobile_node), burst=_BURST_S,
                      renewing=mmcp("SJR", "LJR"), beat=known_spt), knowing=usr_period,
             explained_by=("mmcp-lost-parent",)),
        Rule("mmcp-asr-period", "7.4", "ASR comes every SRT at the latest",
             Periodic(pattern=mmcp("ASR"), period=srt, same=(*_CONVERSATION,), burst=_BURST_S, only_late=True,
                      restart=mmcp("SJR", "SJC"), restart_same=_CONVERSATION, renewing=mmcp("SJR", "SJC"), beat=known_spt), knowing=asr_period,
             explained_by=("mmcp-probe-answered",)),
        Rule("mmcp-asr-complete", "7.4, D M-12", "the ASRs in a row name each MN once, and as many as they count",
             AggregateReports, knowing=asr_names_members, topics=("status", "leave"),
             explained_by=("mmcp-join-order", "mmcp-local-join-after-link-up", "mmcp-transfer-first", "mmcp-leave-request", "mmcp-probe-schedule", "mmcp-silent-child-given-up")),
        Rule("mmcp-status-counts", "8.2.5", "seconds in the session go with the clock, packets never back", StatusCounts),
        Rule("mmcp-probe-answered", "7.4", "a child that is alive answers a USP at once",
             partial(ProbesAnswered, within=at_once), knowing=probe_answered, topics=("status",),
             explained_by=("mmcp-usr-to-parent",)),
        Rule("mmcp-probe-schedule", "7.4, D M-13", "a child is probed when it was silent for SPT, 2 SPT and 3 SPT, and then no more",
             partial(ProbeSchedule, apart=lambda event: _EARLY * known_spt(event)),
             knowing=probe_schedule, topics=("status", "leave"),
             explained_by=("mmcp-old-lmc-forgets", "mmcp-join-outcome", "mmcp-leave-request")),
        # handover
        Rule("mmcp-handover-answered", "7.5", "HIR is answered with HIC within HIT, or sent again, or the MN falls back",
             Answered(request=mmcp("HIR"), by=mmcp("HIC"), within=times("hit"), same=_CONVERSATION, patience=handover_patience,
                      unless=mmcp("SJR"), unless_same=(ANYWHERE, *_MN), not_then=mmcp("LJR"), void=nobody),
             explained_by=("mmcp-fallback-join",)),
        Rule("mmcp-transfer-answered", "7.5", "HCT is answered with HTA within CTT, or sent again, or HIC says F=0",
             Answered(request=mmcp("HCT"), by=mmcp("HTA"), within=times("ctt"), same=_CONVERSATION,
                      patience=times("ctt", 4),
                      unless=mmcp("HIC", where=_refused), unless_same=(ANYWHERE, "session", "source"), void=nobody),
             explained_by=("mmcp-handover-order", "mmcp-transfer-ack-asked")),
        Rule("mmcp-handover-confirm-asked", "7.5", "HIC only answers an HIR, once",
             Asked(answer=mmcp("HIC"), by=mmcp("HIR"), within=times("hit", 3), same=_CONVERSATION),
             explained_by=("mmcp-handover-order", "mmcp-old-lmc-forgets")),
        Rule("mmcp-transfer-ack-asked", "7.5, D M-16", "HTA only answers an HCT, at the port it came from, once",
             Asked(answer=mmcp("HTA"), by=mmcp("HCT"), within=times("ctt", 4), same=_CONVERSATION),
             explained_by=("mmcp-handover-order",)),
        Rule("mmcp-transfer-first", "7.5, D M-8", "HIC F=1 comes after HTA F=1, HIC F=0 after HTA F=0 or three HCTs",
             partial(Transfers, window=times("hit", 3)),
             explained_by=("mmcp-handover-order", "mmcp-handover-context", "mmcp-transfer-ack-asked", "mmcp-transfer-answered")),
        Rule("mmcp-handover-pace", "D M-8", "an HIR is not sent again before HIT",
             AtMost(count=1, pattern=mmcp("HIR"), per=times("hit", _EARLY), same=_CONVERSATION, reset=mmcp("HIC"))),
        Rule("mmcp-transfer-pace", "D M-8", "an HCT is not sent again before CTT",
             AtMost(count=1, pattern=mmcp("HCT"), per=times("ctt", _EARLY), same=(*_MN, "peers"))),
        Rule("mmcp-handover-count", "D M-8", "HIR is sent three times at most",
             AtMost(count=_SENDS_MAX, pattern=mmcp("HIR"), per=times("hit", 4), same=_CONVERSATION,
                     reset=mmcp("HIC"))),
        Rule("mmcp-transfer-count", "D M-8", "HCT is sent three times at most",
             AtMost(count=_SENDS_MAX, pattern=mmcp("HCT"), per=times("ctt", 4), same=_MN, reset=mmcp("HIR"))),
        Rule("mmcp-same-confirm", "7.5, D M-23", "an HIR that comes again gets the HIC it got before, unless the MN has come back meanwhile",
             SameAnswer(answer=mmcp("HIC"), to=mmcp("HIR"), same=_CONVERSATION, request_same=(*_CONVERSATION, "mn_id", "poa_id"),
                         within=times("hit", _REMEMBERED_HIT), content=_content, reset=mmcp("LJR"))),
        Rule("mmcp-old-lmc-forgets", "7.5", "an LMC that has given an MN away does not probe it until it comes back",
             NeverBefore(event=mmcp("USP"), first=mmcp("LJR"), same=("session", "peers"), since=mmcp("HIC", where=_gives_away)), knowing=old_lmc_forgets_mn, topics=("handover",)),
        *(rule for module in _KNOWING for rule in rules_in(module)),
    ), facts=Lab(), timers=timers)  # fmt: skip


def _content(event: Event) -> Hashable:
    """What two confirms must have in common to be the same."""
    return event.fields["f"], event.fields["params"]
