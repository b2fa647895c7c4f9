"""How often a querier may ask after leaves: what each leave allows, whichever witness of the link has seen it."""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from tests.captures.scripted_link import GROUPS, T0, ScriptedLink, query, report

LEAVE, JOIN = 3, 4
HOSTS = ("lmc1", "lmc2", "lmc3", "mn", "quiet", "rover", "other")
ROBUSTNESS = 2
MORE = 2  # series that FRR has beside those it owes
EVERYBODY = {4: ("224.0.0.1", "224.0.0.22"), 6: ("ff02::1", "ff02::16")}


def left_by(hosts: int, asked: int, family: int) -> ScriptedLink:
    """Hosts leave one after the other within 70 ms, and the querier asks so many times in a tenth of a second."""
    link, (everybody, reports_to) = ScriptedLink(), EVERYBODY[family]
    link.membership(family, 1, "query", "a", query(family), everybody)
    for kind, begin_s in ((JOIN, 2.0), (LEAVE, 5.0)):
        for number, host in enumerate(HOSTS[:hosts]):
            body = report(family, [(kind, GROUPS[family])])
            link.membership(family, begin_s + number / 100, f"{kind}.{host}", host, body, reports_to)
    for number in range(asked):
        body = query(family, GROUPS[family], response_s=0.1)
        link.membership(family, 5.08 + number / 10 / asked, f"asked.{number}", "a", body, GROUPS[family])
    return link


def failures(path: Path) -> list[tuple[str, str]]:
    verdicts = verify(CaptureReader(path)).verdicts
    found = [each for each in verdicts if each.rule.endswith("last-member-query") and each.verdict == "failed"]
    return [(each.subject, each.message) for each in found]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("hosts", [1, 3, 7])
def test_each_leave_allows_as_many_queries_as_the_count(tmp_path: Path, hosts: int, family: int) -> None:
    allowed = ROBUSTNESS * (hosts + MORE)
    assert failures(left_by(hosts, allowed, family).write(tmp_path / "right.pcapng")) == []
    [(_, message)] = failures(left_by(hosts, allowed + 1, family).write(tmp_path / "wrong.pcapng"))
    assert f"asked for {GROUPS[family]} {allowed + 1} times" in message
    assert f"leaves seen were {hosts}" in message


@pytest.mark.parametrize("is_same_link", [True, False])
def test_another_witness_of_the_link_may_have_seen_the_leaves(tmp_path: Path, *, is_same_link: bool) -> None:
    """One interface sees its own host's reports only, the other everybody's: that of the querier, or of another link."""
    link = left_by(len(HOSTS), ROBUSTNESS * (len(HOSTS) + MORE), 4)
    path = tmp_path / "two.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("mn:radio", 1), Interface("ar:cell", 1)])
        for frame in link.ordered():
            is_report = frame.tag.startswith((f"{JOIN}.", f"{LEAVE}."))
            at_ns = T0 + round(frame.at_s * 1e9)
            if not is_report or frame.tag.endswith(".mn"):
                writer.frame(at_ns, 0, frame.data)
            if is_same_link or is_report:
                writer.frame(at_ns + 1000, 1, frame.data)
        writer.flush()
    assert [subject for subject, _ in failures(path)] == ([] if is_same_link else ["mn:radio"])
