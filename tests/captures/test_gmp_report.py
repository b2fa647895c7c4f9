"""What the judge gathers of a lab of GMP, and what its page shows: the nested groups and the members."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from captures.additions import Change, Nested
from captures.files.capture import CaptureError
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.history import History
from captures.ladder.words import words
from captures.report.material import find_material
from captures.report.nested import draw_nested
from captures.report.page import write_report
from captures.rules.engine import judge
from tests.captures.scripted_gmp import TOKEN, as_capture, key
from tests.captures.scripted_gmp_lab import good_lab, written


def test_members_are_recorded(tmp_path: Path) -> None:
    judgement = judge(written(good_lab(), tmp_path))
    assert [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"] == []
    members = {record["member"]: record for record in judgement.records["members"]}
    assert list(members) == ["carla", "kern", "paul", "late"]
    assert [members[name]["kind"] for name in members] == ["creator", "core member", "participant", "participant"]
    paul = members["paul"]
    assert [paul[f"{level}_after_ms"] for level in ("registered", "enrolled", "active")] == [2.0, 2.0, 4.0]
    assert (paul["left_by"], paul["asked"], paul["answered"], paul["answer_ms"]) == ("LVREQ", 9, 9, 2.0)
    assert members["late"]["left_by"] == "TRIND"


def test_a_section_that_says_nothing_of_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"lacks 'address'"):
        judge(written(good_lab(), tmp_path, server={"name": "server"}))
    with pytest.raises(CaptureError, match="has a wrong value"):
        judge(written(good_lab(), tmp_path, creator={"name": "carla", "address": "somewhere"}))


class _Drawn(HTMLParser):
    """Elements of the drawing by class, and titles."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.text = ""

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += [value for name, value in attrs if name == "class" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_shows_the_nested_groups(tmp_path: Path) -> None:
    path = written(good_lab(), tmp_path)
    write_report(find_material(str(path)), tmp_path / "report.html")
    drawn = _Drawn()
    drawn.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert drawn.classes.count("lane") == 4
    assert {"level-0", "level-1", "level-2"} <= set(drawn.classes)
    for told in ("Who belonged to the session", "SRACC SJRES", "LVREQ (frame", "Members"):
        assert told in drawn.text


def test_lanes_hold_one_set_in_the_other() -> None:
    changes = [(0, "a", 1), (1, "a", 2), (2, "a", 3), (3, "b", 1), (6, "a", 2), (7, "a", 0)]
    nested = Nested(
        "Sets",
        "",
        ("outer", "middle", "inner"),
        tuple(Change(t * 10**9, who, level, "X", t) for t, who, level in changes),
        10 * 10**9,
    )
    drawing = draw_nested(nested, 0)
    assert drawing is not None
    first, second = drawing.lanes
    spans = [(bar.level, bar.x, bar.x + bar.width, bar.y, bar.y + bar.height) for bar in first.bars]
    assert [level for level, *_ in spans] == [0, 1, 2]
    for (_, *outer), (_, *inner) in pairwise(spans):
        assert outer[0] < inner[0] < inner[1] <= outer[1]
        assert outer[2] < inner[2] < inner[3] < outer[3]
    assert [bar.level for bar in second.bars] == [0]
    assert (drawing.most, drawing.sentence) == (2, "Sets: at most outer 2, middle 1, inner 1 at once.")
    assert drawing.rows[0] == ("0.000", "a", "outer", "X", 0)
    assert drawing.rows[-1][2] == "outside"
    assert draw_nested(Nested("", "", ("a",), (), 0), 0) is None


def test_words_never_show_secrets(tmp_path: Path) -> None:
    path = as_capture().write(tmp_path / "gmp.pcapng")
    told = [f"{event.kind}: {words(event).text}" for event in History(CaptureReader(path), every_protocol({}))]
    secrets = (TOKEN, bytes.fromhex(TOKEN).decode(errors="replace"), key(1)["options"][0][1], key(2)["options"][0][1])
    assert not [text for text in told if any(secret in text for secret in secrets)]
    for wanted in (
        "SCREQ: closed, secure, name 'otto'",
        "SCCON: session 6, user 1, a token",
        "SJRES: session 6, user 2, a key, generation 1, roll-over counter 0",
        "LVREQ: session 5, user 3, no longer registered",
        "UIRES: session 5, user 3, active: 1 2 and 2 others",
        "SRREJ: session 6, refused: bad token",
        "KAREQ: session 6, user 1, every 1 s, timeout 3 s, closed, key generation 2",
        "TRIND: session 5, user 1, the session ends",
    ):
        assert wanted in told
