"""MMCP on the wire, without knowing what was provisioned [X.604.1, decisions M-1 to M-28].

Each interface is judged as a witness of its own. Timers are provisioned and not seen; they are taken at their defaults (see
`Settings`), SRT from the reports themselves.

What a wire does not show, and so is not judged here:

- 6, 7.1: whether session, MN, PoA and LMC are known to whom; that the LMC named serves the PoA; who refuses whom and why;
  that SM and LMC agree with what was provisioned. The lab rules judge it where a lab's parameters say who is who.
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
from captures.mmcp.rules.wire_checks import AggregateReports, Profiles, StatusCounts, Transfers, Unchanging
from captures.mmcp.rules.wire_probes import ProbeCount, ProbesAfterSilence, ProbesAnswered
from captures.rules.language import ANYWHERE, Rule, Seconds, on
from captures.rules.operator_answered import Answered
from captures.rules.operators import Asked, ExactlyOnce, Holds, SameAnswer
from captures.rules.operators_time import AtMost, InOrder, NeverBefore, Periodic
from captures.rules.packs.pack import Pack, Settings
from captures.rules.packs.pim import checksum_problem, malformed_problem

_ASR_MAX_OCTETS = 1400  # [M-12]
_SENDS_MAX = 3  # of HIR and HCT [M-8]
_PROBES_MAX = 3  # without an answer [M-13]
_EARLY = 0.9  # of a timer: what the capture's clock and the sender's may differ
_SPT_IN_SRT = 3
_RESENT_JWT = 1.25  # in which what is sent again after JWT has come
_DEFAULT_SRT_S = 10.0
_BURST_S = 0.1
_AT_ONCE_S = 1.0  # what "at once" may take, or a quarter of SRT if that is less
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


def mmcp_pack(settings: Settings) -> Pack:
    """The pack, with the timers of the settings."""

    def srt(_event: Event) -> float:
        return settings.srt_s or 0.0

    def spt(_event: Event) -> float:
        return settings.spt_s or _SPT_IN_SRT * (settings.srt_s or _DEFAULT_SRT_S)

    def known_spt(_event: Event) -> float:
        return settings.spt_s or _SPT_IN_SRT * (settings.srt_s or 0.0)

    def probes_apart(event: Event) -> float:
        return _EARLY * known_spt(event)

    def at_once(_event: Event) -> float:
        return min(_AT_ONCE_S, (settings.srt_s or _DEFAULT_SRT_S) / 4)

    jwt: Seconds = lambda _event: settings.jwt_s  # noqa: E731  read when it is used: a parameters step may set it
    hit: Seconds = lambda _event: settings.hit_s  # noqa: E731  as jwt
    ctt: Seconds = lambda _event: settings.ctt_s  # noqa: E731  as jwt
    mmcp = partial(on, "mmcp")
    sent = mmcp(where=lambda event: event.kind != "unreachable")
    readable = mmcp(where=lambda event: event.kind not in ("malformed", "unreachable"))
    nobody = mmcp("unreachable")
    handover_patience = lambda event: spt(event) + settings.jwt_s + 1.0  # noqa: E731  as jwt; the link may go down late

    def join_patience(event: Event) -> float:
        """A join that comes again after JWT is one sent again; one that comes after SPT only renews [M-25]."""
        return min(2 * settings.jwt_s, max(_EARLY * spt(event), _RESENT_JWT * settings.jwt_s))

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
        Rule("mmcp-one-group", "7.1, D M-24", "a session has one group and port", Unchanging),
        # session join and leave
        Rule("mmcp-session-join-answered", "7.2", "SJR is answered with SJC within JWT, or sent again",
             Answered(request=mmcp("SJR"), by=mmcp("SJC"), within=jwt, same=_CONVERSATION, patience=join_patience,
                      unless=mmcp("SJR"), unless_same=(ANYWHERE, *_MN), void=nobody)),
        Rule("mmcp-local-join-answered", "7.2, D M-22", "LJR is answered with LJC within JWT, or a join sent again",
             Answered(request=mmcp("LJR"), by=mmcp("LJC"), within=jwt, same=_CONVERSATION, patience=join_patience,
                      unless=mmcp("SJR", "LJR"), unless_same=(ANYWHERE, *_MN), void=nobody)),
        Rule("mmcp-leave-answered", "7.3", "ULR gets one ULC",
             ExactlyOnce(answer=mmcp("ULC"), per=mmcp("ULR"), within=jwt, same=_CONVERSATION, void=nobody)),
        Rule("mmcp-session-confirm-asked", "7.2", "SJC only answers an SJR, once",
             Asked(answer=mmcp("SJC"), by=mmcp("SJR"), within=jwt, same=_CONVERSATION)),
        Rule("mmcp-local-confirm-asked", "7.2", "LJC only answers an LJR, once",
             Asked(answer=mmcp("LJC"), by=mmcp("LJR"), within=jwt, same=_CONVERSATION)),
        Rule("mmcp-leave-confirm-asked", "7.3", "ULC only answers a ULR, once",
             Asked(answer=mmcp("ULC"), by=mmcp("ULR"), within=jwt, same=_CONVERSATION)),
        Rule("mmcp-join-order", "7.2", "a join goes SJR, SJC with F=1, LJR, LJC",
             InOrder(order=(mmcp("SJR"), mmcp("SJC", where=_accepted), mmcp("LJR"), mmcp("LJC")),
                      same=("session", _mobile_node), within=lambda _event: 4 * settings.jwt_s)),
        Rule("mmcp-session-join-pace", "7.2, D M-7, M-27", "an SJR without answer is not sent again before JWT",
             AtMost(count=1, pattern=mmcp("SJR"), per=lambda _event: _EARLY * settings.jwt_s, same=_CONVERSATION, reset=mmcp("SJC"))),
        Rule("mmcp-local-join-pace", "7.2, D M-7, M-27", "an LJR without answer is not sent again before JWT",
             AtMost(count=1, pattern=mmcp("LJR"), per=lambda _event: _EARLY * settings.jwt_s, same=_CONVERSATION,
                     reset=mmcp("LJC", "HIR"))),
        Rule("mmcp-report-after-join", "7.2", "no USR between SJC and LJC to the LMC that SJC names",
             NeverBefore(event=mmcp("USR"), first=mmcp("LJC", where=_accepted), same=("session", _with_whom),
                          since=mmcp("SJC", where=_with_lmc))),
        Rule("mmcp-report-after-local-join", "7.2, 7.5", "no USR to an LMC between the first LJR and its LJC",
             NeverBefore(event=mmcp("USR"), first=mmcp("LJC", where=_accepted), same=_CONVERSATION, since=mmcp("LJR"),
                          forget=mmcp("HIC", "ULC", where=_accepted))),
        Rule("mmcp-silent-after-leave", "7.3", "no USR after ULR until the MN joins again",
             NeverBefore(event=mmcp("USR"), first=mmcp("SJR", "LJR"), same=_MN, since=mmcp("ULR"))),
        # status monitoring
        Rule("mmcp-usr-period", "7.4", "USR comes every SRT",
             Periodic(pattern=mmcp("USR"), period=srt, same=("session", _mobile_node),
                      restart=mmcp("SJR", "LJR", "HIR", "ULR", "USP"), restart_same=(ANYWHERE, "session", _mobile_node), burst=_BURST_S,
                      renewing=mmcp("SJR", "LJR"), beat=known_spt)),
        Rule("mmcp-asr-period", "7.4", "ASR comes every SRT at the latest",
             Periodic(pattern=mmcp("ASR"), period=srt, same=(*_CONVERSATION,), burst=_BURST_S, only_late=True,
                      restart=mmcp("SJR", "SJC"), restart_same=_CONVERSATION, renewing=mmcp("SJR", "SJC"), beat=known_spt)),
        Rule("mmcp-asr-complete", "7.4, D M-12", "the ASRs in a row name each MN once, and as many as they count",
             AggregateReports),
        Rule("mmcp-status-counts", "8.2.5", "seconds in the session go with the clock, packets never back", StatusCounts),
        Rule("mmcp-probe-answered", "7.4", "a child that is alive answers a USP at once",
             lambda tell, coverage: ProbesAnswered(tell, coverage, at_once)),
        Rule("mmcp-probe-after-silence", "7.4", "USP comes after SPT without a report",
             lambda tell, coverage: ProbesAfterSilence(tell, coverage, probes_apart)),
        Rule("mmcp-probe-pace", "7.4, D M-13", "USPs to a child are SPT apart",
             AtMost(count=1, pattern=mmcp("USP"), per=probes_apart, same=_CONVERSATION,
                     reset=mmcp("SJR", "LJR"))),
        Rule("mmcp-probe-count", "D M-13", "no more than three USPs without a report",
             lambda tell, coverage: ProbeCount(tell, coverage, _PROBES_MAX)),
        # handover
        Rule("mmcp-handover-answered", "7.5", "HIR is answered with HIC within HIT, or sent again, or the MN falls back",
             Answered(request=mmcp("HIR"), by=mmcp("HIC"), within=hit, same=_CONVERSATION, patience=handover_patience,
                      unless=mmcp("SJR"), unless_same=(ANYWHERE, *_MN), not_then=mmcp("LJR"), void=nobody)),
        Rule("mmcp-transfer-answered", "7.5", "HCT is answered with HTA within CTT, or sent again, or HIC says F=0",
             Answered(request=mmcp("HCT"), by=mmcp("HTA"), within=ctt, same=_CONVERSATION,
                      patience=lambda _event: 4 * settings.ctt_s,
                      unless=mmcp("HIC", where=_refused), unless_same=(ANYWHERE, "session", "source"), void=nobody)),
        Rule("mmcp-handover-confirm-asked", "7.5", "HIC only answers an HIR, once",
             Asked(answer=mmcp("HIC"), by=mmcp("HIR"), within=lambda _event: 3 * settings.hit_s, same=_CONVERSATION)),
        Rule("mmcp-transfer-ack-asked", "7.5, D M-16", "HTA only answers an HCT, at the port it came from, once",
             Asked(answer=mmcp("HTA"), by=mmcp("HCT"), within=lambda _event: 4 * settings.ctt_s, same=_CONVERSATION)),
        Rule("mmcp-transfer-first", "7.5, D M-8", "HIC F=1 comes after HTA F=1, HIC F=0 after HTA F=0 or three HCTs",
             lambda tell, coverage: Transfers(tell, coverage, 3 * settings.hit_s)),
        Rule("mmcp-handover-pace", "D M-8", "an HIR is not sent again before HIT",
             AtMost(count=1, pattern=mmcp("HIR"), per=lambda _event: _EARLY * settings.hit_s, same=_CONVERSATION, reset=mmcp("HIC"))),
        Rule("mmcp-transfer-pace", "D M-8", "an HCT is not sent again before CTT",
             AtMost(count=1, pattern=mmcp("HCT"), per=lambda _event: _EARLY * settings.ctt_s, same=(*_MN, "peers"))),
        Rule("mmcp-handover-count", "D M-8", "HIR is sent three times at most",
             AtMost(count=_SENDS_MAX, pattern=mmcp("HIR"), per=lambda _event: 4 * settings.hit_s, same=_CONVERSATION,
                     reset=mmcp("HIC"))),
        Rule("mmcp-transfer-count", "D M-8", "HCT is sent three times at most",
             AtMost(count=_SENDS_MAX, pattern=mmcp("HCT"), per=lambda _event: 4 * settings.ctt_s, same=_MN, reset=mmcp("HIR"))),
        Rule("mmcp-same-confirm", "7.5, D M-23", "an HIR that comes again gets the HIC it got before",
             SameAnswer(answer=mmcp("HIC"), to=mmcp("HIR"), same=_CONVERSATION, request_same=(*_CONVERSATION, "mn_id", "poa_id"),
                         within=lambda _event: _REMEMBERED_HIT * settings.hit_s, content=_content)),
        Rule("mmcp-old-lmc-forgets", "7.5", "an LMC that has given an MN away does not probe it until it comes back",
             NeverBefore(event=mmcp("USP"), first=mmcp("LJR"), same=("session", "peers"), since=mmcp("HIC", where=_gives_away))),
    ))  # fmt: skip


def _content(event: Event) -> Hashable:
    """What two confirms must have in common to be the same."""
    return event.fields["f"], event.fields["params"]
