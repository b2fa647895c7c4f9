"""Which rule must notice what was done to a packet; or why a wire does not tell, so that none has to.

Each kind of packet and each mutation stands in one of the two tables, by protocol, kind and mutation; of two packets in each
other's place the kind is ``first>second``.
"""

from __future__ import annotations

_MULTICAST = ("igmp", "mld")
Name = tuple[str, str, str]

_CONFIRMS = {
    "SJR": "session-confirm-asked", "SJC": "session-join-answered", "LJR": "local-confirm-asked", "LJC": "local-join-answered",
    "ULR": "leave-confirm-asked", "ULC": "leave-answered", "HIR": "handover-confirm-asked", "HIC": "handover-answered",
    "HCT": "transfer-ack-asked", "HTA": "transfer-answered", "USR": "usr-period", "ASR": "asr-period",
    "answer to a probe": "probe-answered", "last answer to a probe": "probe-answered",
}  # fmt: skip
_TWICE = {
    "SJR": "session-join-pace", "SJC": "session-confirm-asked", "LJR": "local-join-pace", "LJC": "local-confirm-asked",
    "ULC": "leave-confirm-asked", "HIR": "handover-pace", "HIC": "handover-confirm-asked", "HCT": "transfer-pace",
    "HIC that is asked for again": "handover-confirm-asked",
    "HTA": "transfer-ack-asked", "USP": "probe-schedule", "USP without answer": "probe-schedule",
}  # fmt: skip
_SWAPPED = {
    "SJR>SJC": "session-confirm-asked", "SJC>LJR": "join-order", "LJR>LJC": "local-confirm-asked", "ULR>ULC": "leave-confirm-asked",
    "HIR>HIC": "handover-confirm-asked", "HIR>HCT": "transfer-first", "HCT>HTA": "transfer-ack-asked", "HTA>HIC": "transfer-first",
    "HTA>HIC that is asked for again": "transfer-first",
    "USP>answer to a probe": "probe-schedule", "USP>last answer to a probe": "probe-schedule",
}  # fmt: skip
_REPORTS = ("query", "specific query", "change", "repeat", "answer", "unasked report")

OWNERS: dict[Name, str] = {
    **{("mmcp", kind, "lost"): f"mmcp-{rule}" for kind, rule in _CONFIRMS.items() if kind != "last answer to a probe"},
    **{("mmcp", kind, "held back"): f"mmcp-{rule}" for kind, rule in _CONFIRMS.items()},
    ("mmcp", "USP", "held back"): "mmcp-probe-schedule",
    **{("mmcp", kind, "damaged"): "mmcp-checksum" for kind in {*_CONFIRMS, *_TWICE}},
    **{("mmcp", kind, "doubled"): f"mmcp-{rule}" for kind, rule in _TWICE.items()},
    **{("mmcp", pair, "swapped"): f"mmcp-{rule}" for pair, rule in _SWAPPED.items()},
    **{(name, kind, "damaged"): f"{name}-checksum" for name in _MULTICAST for kind in _REPORTS},
    **{(name, "query", how): f"{name}-query-period" for name in _MULTICAST for how in ("lost", "held back")},
    **{(name, kind, "lost"): f"{name}-report-repeated" for name in _MULTICAST for kind in ("change", "repeat")},
    **{(name, kind, "held back"): f"{name}-report-repeated" for name in _MULTICAST for kind in ("change", "repeat")},
    **{(name, "answer", how): f"{name}-query-answered" for name in _MULTICAST for how in ("lost", "held back")},
    **{("pim", kind, "damaged"): "pim-checksum" for kind in ("hello", "join-prune", "prune")},
    **{("pim", "hello", how): "pim-hello-period" for how in ("lost", "held back")},
    **{("pim", "join-prune", how): "pim-join-refresh" for how in ("lost", "held back")},
    ("rtp", "data", "lost"): "rtp-loss",
    ("rtp", "data", "doubled"): "rtp-duplicates",
    ("rtp", "data", "held back"): "rtp-order",
    ("rtp", "data>data", "swapped"): "rtp-order",
}  # fmt: skip

_MORE = "one too many is allowed: "
_NO_ORDER = "there is no order between them: "
ALLOWED: dict[Name, str] = {
    **{
        ("mmcp", kind, "doubled"): f"{_MORE}a child may report unasked, and an LMC twice at once when it is probed"
        for kind in ("USR", "ASR", "answer to a probe", "last answer to a probe")
    },
    ("mmcp", "ULR", "doubled"): f"{_MORE}a ULR that comes again before its ULC is one request",
    ("mmcp", "USP", "lost"): "a report may come unasked",
    ("mmcp", "USP without answer", "lost"): "how late a parent probes a child that is dead is not told by one probe",
    ("mmcp", "USP without answer", "held back"): "as if lost",
    ("mmcp", "last answer to a probe", "lost"): "a dead child does not answer either: held against one that is heard again",
    ("mmcp", "HIC that is asked for again", "lost"): "that it is asked for again is what the clause wants of its loss",
    ("mmcp", "HIC that is asked for again", "held back"): "as if lost",
    ("mmcp", "SJR>ASR", "swapped"): f"{_NO_ORDER}a renewal comes at the time of a report",
    ("mmcp", "ASR>SJR", "swapped"): f"{_NO_ORDER}a renewal comes at the time of a report",
    ("mmcp", "ASR>SJC", "swapped"): f"{_NO_ORDER}a report may come before its LMC's renewal is confirmed",
    ("mmcp", "SJC>ASR", "swapped"): f"{_NO_ORDER}a report may come before its LMC's renewal is confirmed",
    ("mmcp", "USR>LJR", "swapped"): f"{_NO_ORDER}a renewal comes at the time of a report",
    ("mmcp", "answer to a probe>LJR", "swapped"): f"{_NO_ORDER}a renewal comes at the time of a report",
    ("mmcp", "answer to a probe>USR", "swapped"): f"{_NO_ORDER}both are reports",
    ("mmcp", "USR>USR", "swapped"): f"{_NO_ORDER}both were sent at once",
    **{
        (name, kind, "doubled"): f"{_MORE}bridges and routers repeat themselves, FRR at each setting it is given"
        for name in _MULTICAST
        for kind in _REPORTS
    },
    **{
        (name, "specific query", how): "FRR at times prunes without asking again: that it asks once is enough"
        for name in _MULTICAST
        for how in ("lost", "held back")
    },
    **{
        (name, "unasked report", how): "nobody asked for it"
        for name in _MULTICAST
        for how in ("lost", "held back")
    },
    **{
        (name, f"{first}>{second}", "swapped"): f"{_NO_ORDER}of one node, each says all there is to say"
        for name in _MULTICAST
        for first in _REPORTS
        for second in _REPORTS
    },
    **{("pim", kind, "doubled"): f"{_MORE}hellos and joins are also sent when something changes" for kind in ("hello", "join-prune", "prune")},
    **{("pim", "prune", how): "a router may stop refreshing its join without a word" for how in ("lost", "held back")},
    **{
        ("pim", f"{first}>{second}", "swapped"): f"{_NO_ORDER}of one router, both are sent by timers of their own"
        for first in ("hello", "join-prune", "prune")
        for second in ("hello", "join-prune", "prune")
    },
    ("rtp", "data", "damaged"): "data is walked by its headers and its checksums are not computed, which is why a million packets take seconds",
}  # fmt: skip

NO_ORDER_BETWEEN_OTHERS = f"{_NO_ORDER}they go between different nodes"
FIRST_OR_LAST = "of the first and the last of their sort nobody knows that there was to be another"
EDGE = "what belongs to it may lie outside the capture"
STEPS = "a step says that a link changed or a node was made silent: what it should have sent meanwhile is free"
NOT_HEARD_AGAIN = "a host may leave without a word: held against one that is heard again"
SETTLING = "single packets may be dropped for 0.1 s after a membership changed"
