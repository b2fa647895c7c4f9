"""The page of a run: all of it is there, it stands alone, it leads from verdicts to packets, and no capture can break it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

import captures.history.run
from captures.__main__ import main
from captures.history.run import find_run
from captures.ladder.table import flat
from captures.mmcp.chapters import additions
from captures.mmcp.handovers import find_handovers
from captures.report.chapters import CHAPTERS_MAX, chapters_of
from captures.report.seen import read_seen
from tests.captures.reported_run import Page, model_of, read_page, report_of, run_folder
from tests.captures.scripted_lab import INTERFACES, MN_ID, T0, ScriptedLab, good_lab, read_lab

OCTETS_MAX = 300_000  # of a page of two handovers


@pytest.fixture
def good(tmp_path: Path) -> Page:
    return read_page(report_of(run_folder(good_lab(), tmp_path / "run")))


def failing_lab() -> ScriptedLab:
    """No HTA comes back, the node falls back, and its join after the handover is missing."""
    return good_lab(fallback=True).drop("h1.mnreport@*")


def test_it_tells_the_run_from_verdict_to_files(good: Page) -> None:
    assert good.texts("h1") == ["handover, IPv4 passed"]
    assert good.texts("h2") == [
        "Handovers",
        "What the outages were spent on",
        "Before the first handover",
        "Handover 1, proactive: mn from poa1 to poa2",
        "Handover 2, reactive: mn from poa2 to poa1",
        "Rules",
        "The run",
    ]
    chapter = ["The way of the stream", "Messages", "Packets per 10 ms"]
    assert good.texts("h3") == [
        "Messages", *chapter, *chapter, "Options", "Session", "Addresses", "MMCP", "Versions", "Configurations", "Files",
        "In Wireshark",
    ]  # fmt: skip
    [when] = good.texts("p", "when")
    assert when == "22 November 2026, 17:53:06 UTC · run in 15.4 s · frr 10.3"


def test_the_table_of_handovers_has_the_judges_figures(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    record = json.loads((folder / "result.json").read_text())["handovers"][0]
    page = read_page(report_of(folder))
    row = next(row for row in page.texts("tr") if row.startswith("1 proactive"))
    figures = [record[name] for name in ("l2_gap_ms", "disruption_ms", "excess_ms")]
    shown = " ".join(f"{figure:.1f}" for figure in figures)
    assert row == (
        f"1 proactive poa1 → poa2 {shown} {record['lost']} {record['duplicates']} {record['hir_hic_ms']:.1f}"
        f" {record['first_packet_after_link_up_ms']:.1f} pass"
    )


def test_an_outage_is_drawn_and_told_in_its_parts(good: Page) -> None:
    proactive, reactive = (row for row in good.texts("tr") if row.endswith(("104.0", "105.0")))
    assert proactive == "1 proactive 50.0 45.0 0.0 0.0 0.0 5.0 ahead 100.0 104.0"
    assert reactive == "2 reactive 170.0 45.0 100.0 5.0 20.0 0.0 made 100.0 105.0"
    drawn = [e.attributes for e in good.all("rect") if (e.attributes.get("class") or "").startswith("bar-")]
    # Five colours in the table's head, then five parts of each, of which the longest bar is 290 px.
    link, address, join, tree, other = (float(part["width"] or 0) for part in drawn[-5:])
    assert [part["class"] for part in drawn[-5:]] == ["bar-link", "bar-address", "bar-join", "bar-tree", "bar-other"]
    assert (link, address, join, tree, other) == pytest.approx((76.8, 170.6, 8.5, 34.1, 0.0), abs=0.1)
    assert float(drawn[-4]["x"] or 0) == pytest.approx(link, abs=0.1)


@pytest.mark.parametrize("family", [4, 6])
def test_it_names_nothing_outside(tmp_path: Path, family: int) -> None:
    html = report_of(run_folder(good_lab(family), tmp_path / "run")).read_text()
    assert not re.search(r"http(?!-equiv=)|//|url\(|@import|<link|<iframe|srcset|\bsrc=", html, re.IGNORECASE)
    assert len(html.encode()) < OCTETS_MAX
    policy = next(e for e in Page(html).all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy.attributes["content"] or "")
    assert "unsafe" not in (policy.attributes["content"] or "")


def test_every_link_within_the_page_leads_somewhere(good: Page) -> None:
    ids = good.ids()
    assert len(ids) == len(set(ids))
    inner = {link[1:] for link in good.links() if link.startswith("#")}
    assert inner <= set(ids)
    assert any(link.startswith("row-") for link in inner)


def test_every_file_of_the_run_is_linked_from_wherever_the_report_is(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "a run: 50% #1")
    for target in (folder / "report.html", tmp_path / "elsewhere" / "page.html"):
        target.parent.mkdir(exist_ok=True)
        links = [link for link in read_page(report_of(folder, target)).links() if not link.startswith("#")]
        found = {(target.parent / unquote(link)).resolve() for link in links}
        assert found == {path for path in folder.rglob("*") if path.is_file() and path.name != "report.html"}
        assert not any(re.match(r"\w+:", link) for link in links)


def test_failed_rules_stand_first_and_lead_to_where_it_happened(tmp_path: Path) -> None:
    page = read_page(report_of(run_folder(failing_lab(), tmp_path / "run")))
    assert page.texts("h1") == ["handover, IPv4 failed"]
    verdicts = [e.text for e in page.all("span", "verdict") if e.text in {"failed", "unseen", "passed"}]
    assert verdicts == sorted(verdicts, key=("failed", "unseen", "passed").index)
    assert verdicts[0] == "failed"
    failed = next(row for row in page.elements if row.tag == "tr" and row.classes == {"failed"})
    frames = re.findall(r"frames? ([\d ]+)", " ".join(failed.text.split()))
    assert frames
    for frame in frames[0].split():
        assert f"frame-{frame}" in page.ids()
    flags = page.all("a", "flag")
    assert flags
    assert {(e.attributes["href"] or "")[1:] for e in flags} <= set(page.ids())
    assert any("mmcp-report-on-new-link" in flag.text for flag in flags)
    assert page.all("a", "has-failure")
    problems = page.all("section", "problems")
    assert "mmcp-report-on-new-link" in problems[0].text


def test_every_frame_a_verdict_names_is_in_the_ladder(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    rules = json.loads((folder / "result.json").read_text())["rules"]["all"]
    named = {frame for verdict in rules for frame in verdict["frames"]}
    ids = set(read_page(report_of(folder)).ids())
    assert named
    assert {frame for frame in named if f"frame-{frame}" not in ids} == set()


def test_a_data_packet_that_a_verdict_names_has_a_row_of_its_own(tmp_path: Path) -> None:
    lab = good_lab()
    early = [frame for frame in lab.frames if frame.tag in {f"data.{ms}@lmc1" for ms in range(2950, 3015, 10)}]
    lab.frames += [replace(frame, interface=INTERFACES["lmc2"], tag=f"early.{frame.tag}") for frame in early]
    folder = run_folder(lab, tmp_path / "run")
    failed = json.loads((folder / "result.json").read_text())["rules"]["failed"]
    first, last = next(verdict["frames"] for verdict in failed if verdict["rule"] == "mmcp-new-cell-cold")
    page = read_page(report_of(folder))
    assert {f"frame-{first}", f"frame-{last}"} <= set(page.ids())
    row = next(e for e in page.elements if e.attributes.get("id") == f"row-{last}")
    assert "data packet" in row.text
    assert INTERFACES["lmc2"] in row.text


def test_a_packet_is_decoded_where_the_ladder_shows_it(good: Page) -> None:
    request = next(e for e in good.all("a", "event") if "HIR" in e.text)
    assert "mn to lmc1, arrived" in (request.attributes["aria-label"] or "")
    row = next(e for e in good.elements if e.attributes.get("id") == (request.attributes["href"] or "")[1:])
    text = " ".join(row.text.split())
    assert "mn → lmc1 MMCP HIR" in text
    assert f"mn_id {MN_ID}" in text
    assert "poa_id 706f6132" in text
    assert "mn:mn-radio" in text


def test_the_stream_is_drawn_before_without_link_and_after(good: Page) -> None:
    assert good.texts("p", "way") == [
        "mcs → rr → ar1 → poa1 → mn",
        "no stream at mn; it is in poa1 and poa2",
        "mcs → rr → ar2 → poa2 → mn",
        "mcs → rr → ar2 → poa2 → mn",
        "no stream at mn; it is in poa2",
        "mcs → rr → ar1 → poa1 → mn",
    ]


def test_every_field_of_a_packet_has_a_name() -> None:
    fields = {
        "f": 1,
        "alert": False,
        "source": None,
        "params": [["mn_id", "6d6e"], ["lmc", "10.0.2.2", 24793]],
        "ports": [24793, 24793],
        "joins": [["10.0.10.2", "239.1.1.1"]],
        "message": {"records": [{"kind": 4, "sources": []}]},
    }
    assert list(flat(fields)) == [
        ("f", "1"),
        ("alert", "no"),
        ("mn_id", "6d6e"),
        ("lmc", "10.0.2.2 24793"),
        ("ports", "24793 24793"),
        ("joins", "10.0.10.2 239.1.1.1"),
        ("message records 1 kind", "4"),
    ]


HOSTILE = (
    """</script></style></title><script>document.title='hacked'</script><img src=x onerror="hacked()">'"&{{ 7*7 }}"""
)


def hostile_run(folder: Path) -> Path:
    """A run in which everything that can be chosen tries to be more than text."""
    lab = good_lab()
    lab.parameters(lab=HOSTILE)
    lab.steps = [lab.steps[-1], *lab.steps[1:-1]]
    lab.steps[0]["mmcp"]["mns"][0]["name"] = HOSTILE
    lab.steps[0]["mmcp"]["lmcs"][0]["name"] = HOSTILE
    for step in lab.steps[1:]:
        step.update({key: HOSTILE for key in ("mn", "mode", "to") if key in step})
    lab.step(9500, HOSTILE, text=HOSTILE)
    lab.mmcp(9600, "x.SJR", "mn", "sm", [["mn_id", HOSTILE.encode()[:40].hex()], ["poa_id", b"<b>".hex()]])
    model = model_of(lab)
    model["nodes"][0]["name"] = model["links"][0]["first"]["node"] = HOSTILE
    model["points_of_attachment"][0]["name"] = HOSTILE
    model["attachments"][0]["point_of_attachment"] = HOSTILE
    more: dict[str, Any] = {
        "failures": [HOSTILE],
        "warnings": [HOSTILE],
        "versions": {HOSTILE: HOSTILE},
        "parameters": {HOSTILE: HOSTILE},
        "counters": {HOSTILE: {HOSTILE: 1}},
        "cases": [{"case": HOSTILE, "seen": HOSTILE, "problems": [HOSTILE]}],
    }
    run_folder(lab, folder, model=model, **more)
    (folder / "config" / "<img src=x onerror=hacked()>.toml").write_text(HOSTILE)
    return folder


def test_text_of_a_capture_stays_text(tmp_path: Path, good: Page) -> None:
    page = read_page(report_of(hostile_run(tmp_path / "hostile")))
    assert {element.tag for element in page.elements} <= {element.tag for element in good.elements} | {
        "section",
        "ul",
        "br",
    }
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not [e for e in page.elements for name in e.attributes if name.startswith("on") or name in {"src", "style"}]
    assert page.text_of_body().count(HOSTILE) > 20
    assert "49" not in page.texts("h1")[0]


def test_a_page_has_another_nonce_each_time(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    nonces = [read_page(report_of(folder)).all("script")[0].attributes["nonce"] for _ in range(2)]
    assert nonces[0] != nonces[1]


def test_a_capture_alone_is_judged_and_drawn(tmp_path: Path) -> None:
    page = read_page(report_of(failing_lab().write(tmp_path / "some.pcapng")))
    assert (tmp_path / "some.html").exists()
    assert page.texts("h1") == ["handover, IPv4 rules failed"]
    assert len(page.all("figure", "packets")) == 2
    assert not page.all("figure", "scene")
    assert any("no model.json" in text for text in page.texts("li"))


def test_the_capture_of_a_run_stands_for_its_folder(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    assert report_of(folder / "lab.pcapng") == folder / "report.html"


def test_a_run_that_ended_early_has_a_page_too(tmp_path: Path) -> None:
    lab = good_lab().drop_step("handover_begin")
    page = read_page(report_of(run_folder(lab, tmp_path / "run", verdict="could-not-run", error="the SM died")))
    assert page.texts("h1") == ["handover, IPv4 could not run"]
    assert "the SM died" in page.all("section", "problems")[0].text
    assert "Nothing was judged." in page.texts("p")
    assert page.texts("h2")[1:3] == ["The beginning", "Session 1, of mn"]
    assert page.all("a", "event")


def test_a_result_of_another_form_does_no_harm(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run", model={"nodes": 3}, versions=None, counters=[], parameters=1)
    page = read_page(report_of(folder))
    assert any("another form" in text for text in page.texts("li"))
    (folder / "result.json").write_text("[]")
    assert read_page(report_of(folder)).texts("h1") == ["handover, IPv4 rules passed"]


def test_of_very_many_handovers_those_that_failed_are_drawn(tmp_path: Path) -> None:
    lab = ScriptedLab()
    lab.parameters()
    for number in range(1, 201):
        fields = {"handover": number, "mode": "proactive", "mn": "mn", "from": "poa1", "to": "poa2"}
        lab.step(1000 * number, "handover_begin", **fields)
        lab.step(1000 * number + 900, "handover_end", handover=number)
    lab.data(0, 100, lambda _t: {"mn"})
    path = lab.write(tmp_path / "lab.pcapng")
    timeline = read_lab(path)
    failed = find_handovers(timeline)[150].name
    chapters, left_out = chapters_of(read_seen(find_run(str(path))), [additions(timeline, {}, {failed})], {failed})
    assert (len(chapters), left_out) == (CHAPTERS_MAX, 201 - CHAPTERS_MAX)
    assert "handover-151" in {chapter.part.anchor for chapter in chapters}
    assert all(chapter.part.begin_ns < chapter.end_ns <= chapter.part.begin_ns + 10**9 for chapter in chapters[1:])
    assert chapters[0].part.begin_ns == T0


def test_the_command_writes_it_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(good_lab(), tmp_path / "20261122T000000-handover")
    (tmp_path / "latest").symlink_to(folder.name)
    monkeypatch.setattr(captures.history.run.run_folder, "__defaults__", (tmp_path,))
    monkeypatch.setattr(captures.history.run.find_run, "__defaults__", (tmp_path,))
    for arguments in ([], ["latest"], [folder.name], [str(folder)]):
        (folder / "report.html").unlink(missing_ok=True)
        answer = CliRunner().invoke(main, ["report", *arguments])
        assert (answer.exit_code, answer.stdout) == (0, f"{folder / 'report.html'}\n"), answer.stderr
        assert (folder / "report.html").stat().st_mode & 0o777 == 0o644
    other = tmp_path / "other.html"
    assert CliRunner().invoke(main, ["report", str(folder), "-o", str(other)]).stdout == f"{other}\n"
    assert other.exists()


@pytest.mark.parametrize(
    ("named", "reason"), [("nowhere", "there is no run"), ("empty", "is it a run's folder"), ("no.pcapng", "is empty")]
)
def test_what_cannot_be_reported_is_said_in_one_line(tmp_path: Path, named: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.pcapng").touch()
    answer = CliRunner().invoke(main, ["report", str(tmp_path / named)])
    assert answer.exit_code == 2
    assert reason in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(tmp_path.glob("**/*.html"))


def test_a_report_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    answer = CliRunner().invoke(main, ["report", str(folder), "-o", str(tmp_path / "nowhere" / "page.html")])
    assert answer.exit_code == 2
    assert "cannot write" in answer.stderr
