"""A good link spoiled in its MMCP, each time with the rules that must notice; and what looks odd but is right."""

from __future__ import annotations

from tests.captures.scripted_link import DATA, MN_ID, PORT, QUIET_ID, lmc, poa
from tests.captures.spoiling import Spoil, both, flip_last

MMCP: dict[str, tuple[Spoil, set[str]]] = {
    "a message cut short": (
        lambda link: link.drop("lmc2.7.ASR").mmcp(19.1, "x.ASR", "lmc2", "sm", [["raw", "0600"]]),
        {"mmcp-well-formed", "mmcp-asr-period"},
    ),
    "a flipped bit": (flip_last("lmc1.SJR"), {"mmcp-checksum"}),
    "F in an LJR": (lambda link: link.drop("h1.LJR").mmcp(14.3, "h1.LJR", "mn", "lmc2", [MN_ID], f=1), {"mmcp-f-bit"}),
    "a PoA in an LJR": (
        lambda link: link.drop("h1.LJR").mmcp(14.3, "h1.LJR", "mn", "lmc2", [MN_ID, poa(2)]), {"mmcp-parameters"},
    ),
    "a refusal with a group": (
        lambda link: link.drop("refused.SJC").mmcp(9.001, "refused.SJC", "sm", "other", [DATA]), {"mmcp-refusal-empty"},
    ),
    "another profile": (
        lambda link: link.drop("join.SJC").mmcp(6.501, "join.SJC", "sm", "mn", [DATA, lmc("lmc1")], f=1, profile="L8"),
        {"mmcp-profile"},
    ),
    "an ASR of 1500 octets": (
        lambda link: link.drop("lmc1.11.ASR").mmcp(
            27, "lmc1.11.ASR", "lmc1", "sm",
            [["membership", 187], *[["mn_id", f"{n:08x}"] for n in range(187)]],
        ),
        {"mmcp-asr-size"},
    ),
    "another group in the HCT": (
        lambda link: link.drop("h1.HCT").mmcp(
            14.001, "h1.HCT", "lmc1", "lmc2", [MN_ID, ["multicast", "239.1.1.2", 5004]], ports=(5151, PORT)
        ),
        {"mmcp-one-group"},
    ),
    "no SJC": (
        both(lambda link: link.drop("refused.SJC"), lambda link: link.mmcp(26, "x.USP", "sm", "other")),
        {"mmcp-session-join-answered"},
    ),
    "a late SJC": (lambda link: link.move("refused.SJC", 2.5), {"mmcp-session-join-answered", "mmcp-session-confirm-asked"}),
    "no LJC": (lambda link: link.drop("join.LJC"), {"mmcp-local-join-answered", "mmcp-report-after-join", "mmcp-report-after-local-join"}),
    "no LJC after a handover": (lambda link: link.drop("h1.LJC"), {"mmcp-local-join-answered", "mmcp-report-after-local-join"}),
    "no LJC, and no more": (
        lambda link: link.mmcp(18, "x.LJR", "other", "lmc1", [["mn_id", "7979"]]).mmcp(24, "x.USP", "lmc1", "other"),
        {"mmcp-local-join-answered"},
    ),
    "no ULC": (lambda link: link.drop("leave.ULC"), {"mmcp-leave-answered"}),
    "two ULC": (lambda link: link.copy("leave.ULC", 0.1), {"mmcp-leave-confirm-asked"}),
    "SJC without SJR": (lambda link: link.drop("refused.SJR").mmcp(20, "x.USR", "other", "sm", [["mn_id", "7878"]]), {"mmcp-session-confirm-asked"}),
    "two SJC": (lambda link: link.copy("join.SJC", 0.0005), {"mmcp-session-confirm-asked"}),
    "LJC without LJR": (lambda link: link.drop("h1.LJR"), {"mmcp-local-confirm-asked"}),
    "ULC without ULR": (lambda link: link.drop("leave.ULR"), {"mmcp-leave-confirm-asked"}),
    "LJR before SJC": (lambda link: link.move("join.LJR", -0.0015), {"mmcp-join-order"}),
    "SJR again at once": (lambda link: link.copy("refused.SJR", 0.0001), {"mmcp-session-join-pace"}),
    "LJR again at once": (lambda link: link.copy("join.LJR", 0.0001), {"mmcp-local-join-pace"}),
    "USR before LJC": (
        lambda link: link.mmcp(6.5015, "x.USR", "mn", "lmc1", [MN_ID]), {"mmcp-report-after-join"},
    ),
    "USR after ULR": (lambda link: link.mmcp(27.4, "x.USR", "mn", "lmc1", [MN_ID]), {"mmcp-silent-after-leave"}),
    "a USR is missing": (lambda link: link.drop("lmc1.1.USR"), {"mmcp-usr-period"}),
    "a USR is early": (lambda link: link.move("lmc1.2.USR", -0.5), {"mmcp-usr-period"}),
    "an ASR is missing": (lambda link: link.drop("lmc1.4.ASR"), {"mmcp-asr-period"}),
    "an ASR names one of two": (
        lambda link: link.drop("lmc1.4.ASR").mmcp(13, "lmc1.4.ASR", "lmc1", "sm", [["membership", 2], MN_ID]),
        {"mmcp-asr-complete"},
    ),
    "an ASR names one twice": (
        lambda link: link.drop("lmc1.4.ASR").mmcp(13, "lmc1.4.ASR", "lmc1", "sm", [["membership", 2], MN_ID, MN_ID]),
        {"mmcp-asr-complete"},
    ),
    "ASRs in a row with different counts": (
        lambda link: link.drop("lmc1.4.ASR")
        .mmcp(13, "lmc1.4.ASR", "lmc1", "sm", [["membership", 2], MN_ID])
        .mmcp(13.01, "x.ASR", "lmc1", "sm", [["membership", 3], ["mn_id", "01"]]),
        {"mmcp-asr-complete"},
    ),
    "seconds stand still": (
        lambda link: link.drop("lmc1.1.USR").mmcp(10.5, "lmc1.1.USR", "mn", "lmc1", [MN_ID, ["status", 200, 2]]),
        {"mmcp-status-counts"},
    ),
    "packets go back": (
        lambda link: link.drop("lmc1.2.USR").mmcp(12.5, "lmc1.2.USR", "mn", "lmc1", [MN_ID, ["status", 100, 6]]),
        {"mmcp-status-counts"},
    ),
    "a lost ASR before the LMC renews": (lambda link: link.drop("lmc1.6.ASR"), {"mmcp-asr-period"}),
    "a lost ASR that was due as the LMC renewed": (lambda link: link.drop("lmc1.5.ASR"), {"mmcp-asr-period"}),
    "no LJC to a renewal, and renewed again after SPT": (
        lambda link: link.drop("renewal.LJC").mmcp(18.501, "x.LJR", "mn", "lmc1", [MN_ID]).mmcp(18.502, "x.LJC", "lmc1", "mn", f=1)
        .drop("h1.*").drop("lmc2.?.USR").drop("renewal2.*").drop("h2.*"),
        {"mmcp-local-join-answered"},
    ),
    "no SJC to an LMC's renewal": (lambda link: link.drop("lmc1.6.SJC"), {"mmcp-session-join-answered"}),
    "two USPs in a second": (lambda link: link.copy("quiet.1.USP", 0.5), {"mmcp-probe-schedule"}),
    "four USPs": (
        lambda link: [link.mmcp(at, "x.USP", "sm", "lmc3") for at in (20.205, 21.205, 26.206, 27.206)],
        {"mmcp-probe-schedule"},
    ),
    "a probe while the child reports": (
        lambda link: link.mmcp(11.1, "x.USP", "lmc1", "mn"), {"mmcp-probe-schedule", "mmcp-probe-answered"},
    ),
    "two probes without answer, and a living child": (
        lambda link: link.drop("quiet.0.probed.USR"), {"mmcp-probe-answered"},
    ),
    "a probe answered after a second": (lambda link: link.move("lmc3.probed.ASR", 1), {"mmcp-probe-answered"}),
    "no HIC": (
        lambda link: link.drop("h1.HIC"), {"mmcp-handover-answered"},
    ),
    "no HTA": (lambda link: link.drop("h1.HTA"), {"mmcp-transfer-answered"}),
    "HIC without HIR": (lambda link: link.drop("h1.HIR"), {"mmcp-handover-confirm-asked"}),
    "HTA without HCT": (lambda link: link.drop("h1.HCT"), {"mmcp-transfer-ack-asked"}),
    "HTA to another port": (
        lambda link: link.drop("h1.HTA").mmcp(14.02, "h1.HTA", "lmc2", "lmc1", f=1, ports=(PORT, 5153)),
        {"mmcp-transfer-ack-asked"},
    ),
    "HIC before HTA": (lambda link: link.move("h1.HIC", -0.01), {"mmcp-transfer-first"}),
    "HIC refuses after one HCT": (
        lambda link: link.drop("h1.HTA").drop("h1.HIC").mmcp(14.2, "h1.HIC", "lmc1", "mn"), {"mmcp-transfer-first"},
    ),
    "HIR again at once": (lambda link: link.copy("h1.HIR", 0.0005), {"mmcp-handover-pace"}),
    "HCT again at once": (lambda link: link.copy("h1.HCT", 0.0005), {"mmcp-transfer-pace"}),
    "four HIRs": (
        lambda link: [link.mmcp(at, "x.HIR", "other", "lmc1", [["mn_id", "7878"], poa(2)]) for at in (15, 16, 17, 18)],
        {"mmcp-handover-count"},
    ),
    "four HCTs": (
        lambda link: [
            link.mmcp(at, "x.HCT", "lmc1", "lmc2", [["mn_id", "7878"], DATA], ports=(5160, PORT)) for at in (16, 16.25, 16.5, 16.75)
        ] and link.mmcp(16.9, "x.HTA", "lmc2", "lmc1", f=1, ports=(PORT, 5160)),
        {"mmcp-transfer-count"},
    ),
    "another HIC to the same HIR": (
        lambda link: link.drop("h2.1.HIC").mmcp(22.001, "h2.1.HIC", "lmc2", "mn", [lmc("lmc2")], f=1), {"mmcp-same-confirm"},
    ),
    "the old LMC probes": (lambda link: link.mmcp(20, "x.USP", "lmc1", "mn"), {"mmcp-old-lmc-forgets"}),
}  # fmt: skip

MMCP_TOLERATED: dict[str, Spoil] = {
    "HIR sent three times, then SJR": lambda link: (
        [link.mmcp(at, "x.HIR", "other", "lmc1", [["mn_id", "7878"], poa(2)]) for at in (15, 16, 17)]
        and link.mmcp(17.3, "x.SJR", "other", "sm", [["mn_id", "7878"]]).mmcp(17.301, "x.SJC", "sm", "other", f=0)
    ),
    "HCT sent three times, then HIC F=0": lambda link: (
        [
            link.mmcp(at, "x.HCT", "lmc1", "lmc2", [["mn_id", "7878"], DATA], ports=(5160, PORT))
            for at in (16, 16.25, 16.5)
        ]
        and link.mmcp(15.99, "x.HIR", "other", "lmc1", [["mn_id", "7878"], poa(2)]).mmcp(16.8, "x.HIC", "lmc1", "other")
    ),
    "an LJR sent again after JWT": lambda link: (
        link.mmcp(15, "x.LJR", "a", "lmc1", [["mn_id", "7979"]])
        .mmcp(17.01, "x.LJR", "a", "lmc1", [["mn_id", "7979"]])
        .mmcp(17.02, "x.LJC", "lmc1", "a", f=1)
    ),
    "an LJR without answer, then SJR": lambda link: (
        link.drop("renewal2.LJC")
        .mmcp(22.31, "x.SJR", "mn", "sm", [MN_ID])
        .mmcp(22.311, "x.SJC", "sm", "mn", [DATA, lmc("lmc1")], f=1)
    ),
    "an LMC that starts again after two seconds": lambda link: [
        link.drop("lmc2.8.ASR")
        .drop("lmc2.9.*")
        .drop("lmc2.1?.ASR")
        .mmcp(20.298, "x.SJR", "lmc2", "sm", [["mn_id", b"lmc2".hex()], lmc("lmc2")])
        .mmcp(20.3, "x.SJC", "sm", "lmc2", [DATA], f=1),
        *[link.mmcp(22.3 + 2 * n, "x.ASR", "lmc2", "sm", [["membership", 0]]) for n in range(4)],
    ],
    "a child that joins anew after a probe": lambda link: (
        link.drop("quiet.1.probed.USR")
        .mmcp(22, "x.SJR", "quiet", "sm", [QUIET_ID])
        .mmcp(22.001, "x.SJC", "sm", "quiet", [DATA], f=1)
    ),
    "a child that is dead when it is probed": lambda link: link.drop("quiet.1.probed.USR"),
    "a confirm as the capture ends": lambda link: link.mmcp(29.9, "x.ULR", "other", "sm", [["mn_id", "7878"]]),
    "one direction only": lambda link: link.mmcp(12, "x.ULR", "other", "10.1.1.1", [["mn_id", "7878"]]),
    "another session at the same time": lambda link: link.mmcp(
        14.2, "x.HIR", "mn", "lmc1", [MN_ID, poa(2)], session=2
    ).mmcp(14.201, "x.HIC", "lmc1", "mn", session=2),
}
