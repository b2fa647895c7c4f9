"""The ladder's model: one row for each message, who sent it to whom, what became of it, and which rules failed on it."""

from __future__ import annotations

import ipaddress
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from captures.files.capture import CaptureError
from captures.history.events import Event
from captures.history.participants import Participants
from captures.history.run import find_run, history_of
from captures.ladder.builder import LadderBuilder, build
from captures.ladder.rows import Failure, Ladder, MessageRow, Selection, StepRow, StreamRow, failures_of, select
from captures.rules.engine import judge
from tests.captures.scripted_lab import ADDRESSES, INTERFACES, T0, ScriptedLab, Sent, ethernet, good_lab, ip

MODEL = {
    "nodes": [{"name": name, "kind": "router" if name in ("ar1", "rr") else "host"} for name in ("rr", "ar1", "sm", "lmc1")],
    "attachments": [
        {"end": {"node": "ar1", "interface": "ar1-poa1", "address": "10.0.1.1/24"}, "point_of_attachment": "poa1"},
        {"end": {"node": "lmc1", "interface": "lmc1-poa1", "address": "10.0.1.2/24"}, "point_of_attachment": "poa1"},
    ],
    "links": [
        {
            "first": {"node": "sm", "interface": "sm-ar1", "address": "10.0.20.2/24"},
            "second": {"node": "rr", "interface": "rr-sm", "address": "10.0.20.1/24"},
        }
    ],
    "radios": [{"node": "mn", "interface": "mn-radio", "addresses": [["poa1", "10.0.1.100/24"]]}],
}  # fmt: skip


@pytest.fixture
def ladder_of(tmp_path: Path) -> Callable[..., Ladder]:
    def make(lab: ScriptedLab, **options: Any) -> Ladder:
        return build(history_of(find_run(str(lab.write(tmp_path / "lab.pcapng")))), **options)

    return make


def messages(ladder: Ladder, packet: str) -> list[MessageRow]:
    return [row for row in ladder.rows if isinstance(row, MessageRow) and row.packet == packet]


@pytest.mark.parametrize("family", [4, 6])
def test_a_message_is_one_row_wherever_it_was_seen(ladder_of: Callable[..., Ladder], family: int) -> None:
    ladder = ladder_of(good_lab(family))
    [request], [transfer] = messages(ladder, "HIR"), messages(ladder, "HCT")
    assert (request.sender, request.receivers, request.fate) == ("mn", ("lmc1",), "arrived")
    assert [sighting.interface for sighting in request.sightings] == [INTERFACES["mn"], INTERFACES["lmc1"]]
    assert request.travelled_ns == 100_000
    assert (transfer.sender, transfer.receivers) == ("lmc1", ("lmc2",))
    assert request.text == "MN mn1, PoA poa2"
    assert request.handovers == ("1",)


def test_rows_are_in_order_of_time_and_none_is_lost(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab()
    ladder = ladder_of(lab)
    assert [row.t_ns for row in ladder.rows] == sorted(row.t_ns for row in ladder.rows)
    told = sum(len(row.sightings) for row in ladder.rows if isinstance(row, MessageRow))
    assert told == sum(not frame.tag.startswith("data.") for frame in lab.frames)


def test_a_message_that_never_came_says_where_it_was_seen_last(ladder_of: Callable[..., Ladder]) -> None:
    [row] = messages(ladder_of(good_lab().drop("h1.HTA@lmc1")), "HTA")
    assert (row.fate, row.last_seen, row.receivers) == ("lost", INTERFACES["lmc2"], ("lmc1",))


def test_nobody_knows_what_became_of_a_message_to_a_node_that_was_not_captured(
    ladder_of: Callable[..., Ladder],
) -> None:
    lab = good_lab()
    lab.frames = [frame for frame in lab.frames if frame.interface != INTERFACES["sm"]]
    assert {row.fate for row in messages(ladder_of(lab), "SJR")} == {"unknown"}


def test_the_same_message_again_is_another_attempt_and_its_sighting_is_its_own(
    ladder_of: Callable[..., Ladder],
) -> None:
    """The first HIR is lost, the second one, 300 ms later and equal in every octet, is not."""
    lab = good_lab().copy("h1.HIR@*", 300).drop("h1.HIR@lmc1")
    first, second = messages(ladder_of(lab), "HIR")
    assert (first.fate, first.attempt, len(first.sightings)) == ("lost", 1, 1)
    assert (second.fate, second.attempt, len(second.sightings)) == ("arrived", 2, 2)


def test_what_is_said_again_after_a_step_is_no_attempt(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab().copy("h1.LJR@*", 1500)  # behind the step that ends the handover
    assert [row.attempt for row in messages(ladder_of(lab), "LJR") if row.receivers == ("lmc2",)] == [1, 1]


def test_reports_that_come_by_the_clock_are_no_attempts(ladder_of: Callable[..., Ladder]) -> None:
    assert {row.attempt for row in messages(ladder_of(good_lab()), "ASR")} == {1}


def test_a_sighting_with_more_hops_left_is_another_packet(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab()
    old, new = bytes([64, 17]), bytes([80, 17])  # hop limit and protocol in an IPv4 header
    lab.patch("h1.HIR@lmc1", old, new)
    assert [len(row.sightings) for row in messages(ladder_of(lab), "HIR")] == [1, 1]


def test_participants_stand_cell_by_cell(ladder_of: Callable[..., Ladder]) -> None:
    ladder = ladder_of(good_lab(), model=MODEL)
    assert [(column.name, column.role, column.cell) for column in ladder.columns] == [
        ("mn", "mn", ""), ("ar1", "router", "poa1"), ("lmc1", "lmc", "poa1"), ("lmc2", "lmc", "poa2"), ("sm", "sm", ""),
        ("rr", "router", ""), ("mcs", "mcs", ""),
    ]  # fmt: skip


def test_the_stream_on_its_way_is_background(ladder_of: Callable[..., Ladder]) -> None:
    rows = [row for row in ladder_of(good_lab(), model=MODEL).rows if isinstance(row, StreamRow)]
    assert {(row.node, row.background) for row in rows} == {("mn", False), ("lmc1", True), ("lmc2", True)}


def test_where_nobody_moves_the_stream_is_on_its_way_at_routers() -> None:
    known = Participants()
    known.learn_model({"nodes": [{"name": "r", "kind": "router"}, {"name": "h", "kind": "host"}]})
    assert [known.passes_on(name) for name in ("r", "h", "a stranger")] == [True, False, False]


def test_the_history_may_bring_its_model_itself(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab()
    lab.steps.insert(0, {"t_ns": T0 - 1, "step": "model", "model": MODEL})
    ladder = ladder_of(lab)
    assert ladder.columns == ladder_of(good_lab(), model=MODEL).columns
    assert not any(isinstance(row, StepRow) and row.step == "model" for row in ladder.rows)


@pytest.mark.parametrize("model", [[], "x", {"nodes": 3, "links": [4], "attachments": [{"end": 5}], "radios": [{}]}])
def test_what_is_no_model_tells_nothing(ladder_of: Callable[..., Ladder], model: Any) -> None:
    assert ladder_of(good_lab(), model=model).columns[0].name == "mn"


def test_a_report_from_a_link_local_address_has_its_sender(ladder_of: Callable[..., Ladder]) -> None:
    reports = [row for row in messages(ladder_of(good_lab(6)), "report") if row.protocol == "mld"]
    assert {row.sender for row in reports} == {"mn", "lmc2"}
    assert reports[0].text == f"joins {ADDRESSES[6]['group']}"


def test_everybody_on_a_link_gets_what_goes_to_a_group(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab()
    [join] = [frame for frame in lab.frames if frame.tag == "join.report@mn"]
    lab.frames += [
        replace(join, at_ms=join.at_ms + at, interface=INTERFACES[node]) for node, at in (("ar1", 0.1), ("lmc1", 0.2))
    ]
    row = messages(ladder_of(lab), "report")[0]
    assert (row.sender, row.receivers, row.fate) == ("mn", ("ar1", "lmc1"), "arrived")


def pim_hello(mac: str, source: str, address: str) -> bytes:
    """A hello with an address list, from a link-local address [RFC 7761 4.9.2]."""
    body = bytes.fromhex("2000000000010002000f001800120200") + ipaddress.ip_address(address).packed
    return ethernet(mac, ip(source, "ff02::d", 103, body, hop_limit=1))


def test_a_router_is_known_by_what_its_hellos_say(ladder_of: Callable[..., Ladder]) -> None:
    """Only one end of the link is captured, by the SM: the other end sends, and gets what the SM sends."""
    lab = good_lab(6)
    model = {
        "nodes": [{"name": "rr", "kind": "router"}, {"name": "sm", "kind": "host"}],
        "links": [
            {
                "first": {"node": "sm", "interface": "sm-ar1", "address": "2001:db8:20::2/64"},
                "second": {"node": "rr", "interface": "rr-sm", "address": "2001:db8:20::1/64"},
            }
        ],
    }
    lab.frames.append(Sent(50, INTERFACES["sm"], pim_hello("0200000000bb", "fe80::bb", "2001:db8:20::1"), "hello"))
    lab.report(60, "sm", "sm")
    ladder = ladder_of(lab, model=model)
    [hello] = messages(ladder, "hello")
    assert (hello.sender, hello.receivers, hello.label, hello.background) == ("rr", ("sm",), "PIM hello", True)
    [report] = [row for row in messages(ladder, "report") if row.sender == "sm"]
    assert (report.receivers, report.fate) == (("rr",), "unknown")


def test_the_stream_stops_and_is_back_at_the_mn(ladder_of: Callable[..., Ladder]) -> None:
    ladder = ladder_of(good_lab())
    at_mn = [row for row in ladder.rows if isinstance(row, StreamRow) and row.node == "mn"]
    assert [(row.change, row.handovers) for row in at_mn] == [
        ("begins", ()), ("stops", ("1",)), ("back", ("1",)), ("stops", ("2",)), ("back", ("2",)), ("stops", ()),
    ][: len(at_mn)]  # fmt: skip
    assert len(at_mn) >= 5
    assert at_mn[2].silence_ns == pytest.approx(60e6)


def test_a_slow_stream_does_not_stop_between_two_packets(ladder_of: Callable[..., Ladder]) -> None:
    """Every tenth packet of the stream only: 100 ms apart, as the parameters say."""
    lab = good_lab()
    lab.steps[0]["nominal_spacing_ns"] = 100_000_000
    lab.frames = [f for f in lab.frames if not f.tag.startswith("data.") or round(f.at_ms / 10) % 10 == 3]
    changes = [row.change for row in ladder_of(lab).rows if isinstance(row, StreamRow) and row.node == "mn"]
    assert changes == ["begins"]


def test_failures_stand_at_the_rows_that_show_them(ladder_of: Callable[..., Ladder], tmp_path: Path) -> None:
    lab = good_lab().drop("h1.HTA@*")
    failed = failures_of(judge(lab.write(tmp_path / "judged.pcapng")).of_run()["rules"]["failed"])
    stranger = Failure("other", "1", "x", "y", (10**6,))
    ladder = ladder_of(lab, failed=[*failed, stranger])
    [request] = messages(ladder, "HIR")
    assert "mmcp-handover-order" in {failure.rule for failure in request.failures}
    assert ladder.unplaced == (stranger,)
    assert set(ladder.failures) == {*failed, stranger}


def test_selecting(ladder_of: Callable[..., Ladder]) -> None:
    ladder = ladder_of(good_lab())
    first = select(ladder, Selection(handover="1"))
    assert {row.handovers for row in first.rows} == {("1",)}
    assert not messages(select(ladder, Selection(frozenset({"igmp"}))), "HIR")
    assert messages(select(ladder, Selection(frozenset({"mmcp"}))), "HIR")
    window = select(ladder, Selection(from_ns=3_005_900_000, to_ns=3_007_000_000))
    assert [row.packet for row in window.rows if isinstance(row, MessageRow)] == ["HIR", "HCT"]
    assert [column.name for column in window.columns] == ["mn", "lmc1", "lmc2"]


def test_what_goes_on_anyway_is_only_counted_unless_wanted(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab()
    lab.patch("h1.report@*", bytes([239, 1, 1, 1]), bytes([239, 1, 1, 9]))
    ladder = ladder_of(lab)
    quiet, everything = select(ladder, Selection()), select(ladder, Selection(background=True, notes=True))
    assert (quiet.hidden or {})["IGMP join"] == 1
    assert len(messages(everything, "report")) == len(messages(quiet, "report")) + 1
    assert everything.rows == ladder.rows


def test_a_failed_row_is_never_hidden(ladder_of: Callable[..., Ladder]) -> None:
    ladder = ladder_of(good_lab())
    [request] = messages(ladder, "HIR")
    failed = replace(request, failures=(Failure("r", "c", "s", "m", request.frames),), background=True)
    ladder = replace(ladder, rows=(failed,))
    assert select(ladder, Selection(frozenset({"pim"}))).rows == (failed,)


def test_rows_come_in_the_same_order_while_the_history_goes_on(
    ladder_of: Callable[..., Ladder], tmp_path: Path
) -> None:
    ladder = ladder_of(good_lab())
    builder = LadderBuilder()
    rows = []
    for event in history_of(find_run(str(tmp_path / "lab.pcapng"))):
        for row in builder.take(event):
            assert row.t_ns <= event.t_ns - 500_000_000
            rows.append(row)
    rows += builder.finish()
    assert tuple(rows) == ladder.rows


def test_a_message_that_cannot_be_read_is_a_row_too(ladder_of: Callable[..., Ladder]) -> None:
    lab = good_lab().patch("h1.HIR@*", bytes([10, 0, 0, 23]), bytes([99, 0, 0, 23]))  # type and length
    [row] = messages(ladder_of(lab), "malformed")
    assert row.label == "MMCP malformed"
    assert "Packet Type 99" in row.text


def test_as_dict_is_json_with_every_field(ladder_of: Callable[..., Ladder]) -> None:
    told = json.loads(json.dumps(ladder_of(good_lab()).as_dict()))
    assert set(told) == {"begin_ns", "end_ns", "columns", "handovers", "rows", "unplaced", "hidden"}
    request = next(row for row in told["rows"] if row.get("packet") == "HIR")
    assert request["kind"] == "message"
    assert request["travelled_ns"] == 100_000
    assert [span["handover"] for span in told["handovers"]] == ["1", "2"]


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    assert build([]).rows == ()
    with pytest.raises(CaptureError):
        find_run(str(tmp_path / "no.pcapng"))


class Fields(dict[str, Any]):
    """Fields of a message of which a test can see whether anybody still holds them."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # each is one of its own


def test_a_live_ladder_keeps_no_message_that_is_over() -> None:
    builder, held, rows = LadderBuilder(), weakref.WeakSet[Fields](), 0
    for count in range(2000):
        fields = Fields(hop_limit=64, status=count)
        held.add(fields)
        event = Event(count, T0 + count * 100_000_000, "lmc:eth0", "mmcp", "USR", "10.0.0.1", "10.0.0.2", fields)
        rows += sum(1 for _ in builder.take(event))
    assert rows > 1900
    assert len(held) < 20
    assert rows + sum(1 for _ in builder.finish()) == 2000
