"""Every rule of every pack, on a capture that keeps it and on one that does not.

A good link keeps them all; each case spoils one thing in it and names the rules that must notice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.judgement import Judgement
from captures.rules.packs import all_packs
from captures.rules.packs.pack import Settings
from tests.captures.scripted_link import (
    GROUPS,
    MN_ID,
    SRT_S,
    T0,
    ScriptedLink,
    address,
    good_link,
    hello,
    join_prune,
    older_report,
    query,
    report,
)
from tests.captures.spoiled_mmcp import MMCP, MMCP_TOLERATED
from tests.captures.spoiling import Spoil, both, flip_last, hops


def verified(link: ScriptedLink, folder: Path, settings: Settings | None = None) -> Judgement:
    path = link.write(folder / "link.pcapng")
    return verify(
        CaptureReader(path), settings=settings or Settings(timers={"srt": SRT_S}, max_gap_s=1.0, max_jitter_s=0.05)
    )


def failing(verification: Judgement) -> set[str]:
    return {verdict.rule for verdict in verification.verdicts if verdict.verdict == "failed"}


def rules(verification: Judgement) -> set[str]:
    """Those that ask for nobody."""
    asked = {rule.name for pack in all_packs(Settings()) for rule in pack.rules if rule.check is not None}
    return {verdict.rule for verdict in verification.verdicts} & asked


def membership_cases(name: str, family: int) -> dict[str, tuple[Spoil, set[str]]]:
    group, everybody = GROUPS[family], "224.0.0.1" if family == 4 else "ff02::1"
    reports_to = "224.0.0.22" if family == 4 else "ff02::16"
    cut = bytes.fromhex("2200000000000001") if family == 4 else bytes.fromhex("8f00000000000001")

    def say(at_s: float, node: str, body: bytes, to: str = reports_to, **more: object) -> Spoil:
        return lambda link: link.membership(family, at_s, "x", node, body, to, **more)  # type: ignore[arg-type]  # options by name

    cases: dict[str, tuple[Spoil, set[str]]] = {
        "a report cut short": (say(15, "other", cut), {"well-formed"}),
        "a flipped bit": (flip_last(f"{name}.later.mn"), {"checksum"}),
        "TTL 2": (hops(f"{name}.answer.mn.14"), {"hop-limit"}),
        "no Router Alert": (say(15, "other", report(family, [(2, group)]), alert=False), {"router-alert"}),
        "a report to the group": (say(15, "other", report(family, [(2, group)]), group), {"report-destination"}),
        "a query to nobody": (
            both(lambda link: link.drop(f"{name}.query.2"), say(13, "a", query(family), reports_to)), {"query-destination"},
        ),
        "a general query with sources": (
            both(
                lambda link: link.drop(f"{name}.query.2"),
                say(13, "a", query(family, sources=["10.0.0.9" if family == 4 else "2001:db8::9"]), everybody),
            ),
            {"query-fields"},
        ),
        "as long to respond as the interval": (
            both(lambda link: link.drop(f"{name}.query.3"), say(23, "a", query(family, response_s=10), everybody)), {"query-fields"},
        ),
        "a record of type 9": (say(15, "other", report(family, [(9, group)])), {"records"}),
        "a report of all hosts": (say(15, "other", report(family, [(2, everybody)])), {"records"}),
        "a report of no group": (say(15, "other", report(family, [(2, address("a", family))])), {"records"}),
        "a member does not answer": (lambda link: link.drop(f"{name}.answer.mn.14"), {"query-answered"}),
        "a member answers late": (lambda link: link.move(f"{name}.answer.mn.14", 1.2), {"query-answered"}),
        "a join reported once": (lambda link: link.drop(f"{name}.join.mn.1"), {"report-repeated"}),
        "a leave repeated after two seconds": (lambda link: link.move(f"{name}.leave.mn.1", 1.5), {"report-repeated"}),
        "no last member query": (lambda link: link.drop(f"{name}.specific.?"), {"last-member-query"}),
        "last member queries without end": (
            lambda link: [link.copy(f"{name}.specific.0", 0.01 * n) for n in range(1, 12)], {"last-member-query"},
        ),
        "a second querier": (say(15, "b", query(family), everybody), {"querier", "query-answered"}),
        "a query is missing": (lambda link: link.drop(f"{name}.query.2"), {"query-period"}),
        "a query is early": (lambda link: link.move(f"{name}.query.3", -4), {"query-period", "query-answered"}),
        "newer reports to an older querier": (
            both(say(14.5, "a", query(family, version=2 if family == 4 else 1), everybody), say(16, "other", report(family, [(2, group)]))),
            {"compatibility", "query-answered"},
        ),
    }  # fmt: skip
    if family == 6:
        cases["a query from a global address"] = (
            both(lambda link: link.drop("mld.query.2"), say(13, "a", query(6), everybody, source="2001:db8::1")),
            {"query-source", "querier"},
        )
        cases["a report from a global address"] = (
            say(15, "other", report(6, [(2, group)]), source="2001:db8::31"), {"report-source"},
        )  # fmt: skip
    return {f"{name}, {case}": (spoil, {f"{name}-{rule}" for rule in names}) for case, (spoil, names) in cases.items()}


def pim_cases(name: str, family: int) -> dict[str, tuple[Spoil, set[str]]]:
    def say(at_s: float, node: str, body: bytes, **more: object) -> Spoil:
        return lambda link: link.pim(family, at_s, "x", node, body, **more)  # type: ignore[arg-type]  # options by name

    rendezvous = "10.9.9.9" if family == 4 else "2001:db8::9"

    def join(upstream: str) -> bytes:
        return join_prune(family, upstream, GROUPS[family], rendezvous=rendezvous)

    stranger = "10.0.0.77" if family == 4 else "fe80::77"
    cases: dict[str, tuple[Spoil, set[str]]] = {
        "a hello cut short": (say(15.3, "b", hello()[:-3]), {"pim-well-formed"}),
        "a flipped bit": (flip_last(f"{name}.hello.b.9"), {"pim-checksum"}),
        "a hello with TTL 2": (hops(f"{name}.hello.b.9"), {"pim-hop-limit"}),
        "a hello to one router": (say(15.3, "b", hello(), to=address("a", family)), {"pim-destination"}),
        "a join of a router without hello": (say(40, "other", join(address("b", family))), {"pim-hello-first"}),
        "a join to a stranger": (
            both(*[say(t, "a", hello()) for t in range(30, 41)], say(40.5, "a", join(stranger))), {"pim-upstream-known"},
        ),
        "hellos that cease": (
            both(
                lambda link: link.drop(f"{name}.hello.b.1?").drop(f"{name}.hello.b.2?"),
                say(16, "b", join(address("a", family))),
            ),
            {"pim-hello-period"},
        ),
        "a hello is missing": (lambda link: link.drop(f"{name}.hello.b.9"), {"pim-hello-period"}),
        "a holdtime of ten periods": (
            both(lambda link: link.drop(f"{name}.hello.b.*"), *[say(t + 0.2, "b", hello(10)) for t in range(30)]),
            {"pim-hello-holdtime"},
        ),
        "a join is missing": (lambda link: link.drop(f"{name}.join.4"), {"pim-join-refresh"}),
    }  # fmt: skip
    if family == 6:
        cases["a hello from a global address"] = (say(15.3, "b", hello(), source="2001:db8::2"), {"pim-source"})
    return {f"{name}, {case}": value for case, value in cases.items()}


RTP: dict[str, tuple[Spoil, set[str]]] = {
    "one packet missing": (lambda link: link.drop("data.900"), {"rtp-loss"}),
    "one packet twice": (lambda link: link.copy("data.900", 0.001), {"rtp-duplicates"}),
    "two packets swapped": (lambda link: link.move("data.900", 0.011), {"rtp-order"}),
    "one packet far from the others": (lambda link: link.rtp(15.0051, "far", 50_000), {"rtp-order"}),
    "two seconds missing": (lambda link: link.drop("data.9??").drop("data.10??"), {"rtp-interruption"}),
    "a packet a second late, and all behind it": (
        lambda link: [link.move("data.1[0-9]??", 1)], {"rtp-jitter"},
    ),
}  # fmt: skip

BROKEN = {
    **MMCP,
    **membership_cases("igmp", 4),
    **membership_cases("mld", 6),
    **pim_cases("pim", 4),
    **pim_cases("pim6", 6),
    **RTP,
}

# What looks odd but is right.
TOLERATED: dict[str, Spoil] = {
    **MMCP_TOLERATED,
    "an ASR in two packets": lambda link: (
        link.drop("lmc1.4.ASR")
        .mmcp(13, "x.ASR", "lmc1", "sm", [["membership", 2], MN_ID])
        .mmcp(13.001, "x.ASR", "lmc1", "sm", [["membership", 2], ["mn_id", "01"]])
    ),
    "a member that leaves without a word": lambda link: [
        link.membership(4, at, "x", "mcs", report(4, [(4, GROUPS[4])]), "224.0.0.22") for at in (8.0, 8.4)
    ],
    "reports from ::": lambda link: link.membership(
        6, 15, "x", "other", report(6, [(2, GROUPS[6])]), "ff02::16", source="::"
    ),
    "a switch that snoops queries": lambda link: link.membership(
        4, 13.05, "x", "other", query(4), "224.0.0.1", source="0.0.0.0"
    ),
    "older hosts and a new querier": lambda link: link.membership(
        4, 15, "x", "other", older_report(4, GROUPS[4]), GROUPS[4]
    ),
    "an older leave": lambda link: link.membership(
        4, 15, "x", "other", older_report(4, GROUPS[4], leave=True), "224.0.0.2"
    ),
    "a triggered hello": lambda link: link.copy("pim.hello.a.9", 0.3),
    "a router goes": lambda link: [link.drop(f"pim.hello.b.{n}") for n in range(9, 30)],
}


def test_good_link_keeps_every_rule(tmp_path: Path) -> None:
    verification = verified(good_link(), tmp_path)
    assert [verdict for verdict in verification.verdicts if verdict.verdict == "failed"] == []
    passed = {verdict.rule for verdict in verification.verdicts if verdict.verdict == "passed"}
    # There is no older querier on a good link.
    assert rules(verification) - passed == {"igmp-compatibility", "mld-compatibility"}
    assert (verification.exit_code(), verification.warnings, verification.passed_over) == (0, [], {})


def test_every_rule_is_broken_by_some_case(tmp_path: Path) -> None:
    assert set().union(*(names for _, names in BROKEN.values())) == rules(verified(good_link(), tmp_path))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_capture_fails_its_rule(tmp_path: Path, case: str) -> None:
    spoil, expected = BROKEN[case]
    link = good_link()
    spoil(link)
    verification = verified(link, tmp_path)
    failed = [verdict for verdict in verification.verdicts if verdict.verdict == "failed"]
    assert {verdict.rule for verdict in failed} == expected, [(v.rule, v.message) for v in failed]
    assert verification.exit_code() == 1
    assert all(verdict.frames and verdict.message and verdict.clause for verdict in failed)


@pytest.mark.parametrize("case", TOLERATED)
def test_tolerated_capture_passes(tmp_path: Path, case: str) -> None:
    link = good_link()
    TOLERATED[case](link)
    verification = verified(link, tmp_path)
    assert [(v.rule, v.message) for v in verification.verdicts if v.verdict == "failed"] == []


def roaming(path: Path, *steps: str, queried: bool = True) -> Path:
    """A node's radio that hears the querier of one cell, then that of another, with steps in between.

    Not ``queried``: the other cell has none, and somebody joins there and leaves.
    """
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("mn:radio", 1)])
        writer.step({"t_ns": T0, "step": "parameters", "mns": [{"name": "mn", "interface": "mn:radio"}]})
        link = ScriptedLink().membership(4, 1, "one", "a", query(4), "224.0.0.1")
        if queried:
            link.membership(4, 8, "other", "b", query(4), "224.0.0.1")
        else:
            for at_s, record in ((8, 4), (8.5, 4), (9, 3), (9.5, 3), (12, 4)):
                link.membership(4, at_s, "other", "mn", report(4, [(record, GROUPS[4])]), "224.0.0.22")
        for index, frame in enumerate(link.ordered()):
            if index == 1:
                for number, step in enumerate(steps):
                    writer.step({"t_ns": T0 + 5_000_000_000 + number, "step": step, "mn": "mn", "handover": 1})
            writer.frame(T0 + round(frame.at_s * 1e9), 0, frame.data)
        writer.flush()
    return path


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), {"igmp-querier"}),
        (("link_trigger",), {"igmp-querier"}),
        (("handover_begin", "link_down", "link_up"), set()),
        (("session_end", "session_begin"), set()),
    ],
)
def test_steps_tell_that_an_interface_went_elsewhere(
    tmp_path: Path, steps: tuple[str, ...], expected: set[str]
) -> None:
    assert failing(verify(CaptureReader(roaming(tmp_path / "lab.pcapng", *steps)))) == expected


@pytest.mark.parametrize("moved", [False, True])
def test_the_querier_of_another_cell_answers_no_leave_here(tmp_path: Path, *, moved: bool) -> None:
    steps = ("link_down", "link_up") if moved else ()
    found = failing(verify(CaptureReader(roaming(tmp_path / "lab.pcapng", *steps, queried=False))))
    assert ("igmp-last-member-query" in found) is not moved


def test_older_versions_pass_compatibility(tmp_path: Path) -> None:
    link = ScriptedLink().membership(4, 1, "x", "a", query(4, version=2), "224.0.0.1")
    link.membership(4, 2, "x", "other", older_report(4, GROUPS[4]), GROUPS[4])
    found = {v.rule: v.verdict for v in verified(link, tmp_path).verdicts}
    assert found["igmp-compatibility"] == "passed"


def test_srt_is_learned_from_the_reports(tmp_path: Path) -> None:
    assert failing(verified(good_link().drop("lmc1.4.ASR"), tmp_path, Settings())) == {"mmcp-asr-period"}


def test_evidence_names_the_frames(tmp_path: Path) -> None:
    link = good_link().move("h1.HIC", -0.01)
    verdict = next(v for v in verified(link, tmp_path).verdicts if v.verdict == "failed")
    tags = [frame.tag for frame in link.ordered()]
    assert {tags[number - 1] for number in verdict.frames} == {"h1.HIR", "h1.HCT", "h1.HIC"}


def test_without_limits_streams_are_only_measured(tmp_path: Path) -> None:
    link = good_link().drop("data.9??")
    found = {v.rule: v.verdict for v in verified(link, tmp_path, Settings()).verdicts if v.rule.startswith("rtp-")}
    assert found["rtp-interruption"] == found["rtp-jitter"] == "unseen"
    assert found["rtp-loss"] == "passed"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("after_s", "expected"), [(21.5, {"querier"}), (22.1, set()), (23.5, set())])
def test_querier_that_falls_silent_is_taken_over_from(
    tmp_path: Path, family: int, after_s: float, expected: set[str]
) -> None:
    """Twice 10 s and half of 4 s after its last query another may ask."""
    name, everybody = ("igmp", "224.0.0.1") if family == 4 else ("mld", "ff02::1")
    link = ScriptedLink().membership(family, 1, "last", "a", query(family, response_s=4), everybody)
    link.membership(family, 1 + after_s, "first", "b", query(family, response_s=4), everybody)
    assert failing(verified(link, tmp_path)) == {f"{name}-{rule}" for rule in expected}
