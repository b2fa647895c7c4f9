"""Links that delay, lose, double and are slow: measured by the lab, and seen by other means; changed; wrong ones found."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.host import doctor
from testbed.host.sandbox import inside
from tests.labs.runs import AS_ROOT, AS_USER, as_root, outer_argv, run

# Delays are seen by ping, which a busy machine delays too.
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.alone,
    pytest.mark.skipif(inside(), reason="is in a sandbox already"),
]


def links(folder: Path, action: str, user: str = AS_ROOT) -> dict[str, Any]:
    """What `inner_links` found."""
    argv, run_folder = outer_argv(user, folder, "--links")
    done = subprocess.run([*argv, str(run_folder), action], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_direction(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["direction"]: row for row in found["links"]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The small lab, once."""
    return links(tmp_path_factory.mktemp("measure"), "measure")


@as_root
def test_each_direction_is_made_as_asked_and_measured(measured: dict[str, Any]) -> None:
    rows = by_direction(measured)
    delay, loss = ("netem", "netem") if doctor.examine(("netem",))[0].ok else ("wirefilter", "nft")
    assert {name: row["mechanism"] for name, row in rows.items()} == {
        "a to r": delay, "r to a": delay, "b to r": "tbf", "r to b": delay, "r to poa1": delay, "poa1 to r": "none",
        "mn to mn-near": f"{loss}+tbf", "mn-near to mn": f"{loss}+tbf", "mn to mn-far": loss, "mn-far to mn": loss,
    }  # fmt: skip
    assert rows["a to r"]["measured"]["delay_s"] == pytest.approx(0.02, abs=0.001)
    assert rows["poa1 to r"]["measured"]["delay_s"] < 0.001
    assert rows["b to r"]["measured"]["rate_bps"] == pytest.approx(10e6, rel=0.05)
    assert rows["mn to mn-near"]["measured"]["loss"] == pytest.approx(0.1, abs=0.03)


@as_root
def test_other_programs_see_the_same(measured: dict[str, Any]) -> None:
    assert measured["there_and_back_ms"] == pytest.approx(40, abs=2)
    assert measured["one_way_ms"] == pytest.approx(7, abs=1.5)
    assert measured["cell_ms"] == pytest.approx(5, abs=1.5)
    assert 400 * 0.81 * 0.85 < measured["cell_answers"] < 400 * 0.81 * 1.15  # lost there, or back
    assert measured["perfect_ms"] < 1
    assert 8e6 < measured["tcp_bps"] < 10.2e6


@as_root
def test_only_links_that_are_not_perfect_run_through_the_sandbox(measured: dict[str, Any]) -> None:
    pieces = [name for name in measured["sandbox"] if name[-1] in "ab"]
    assert len(pieces) == 2 * 5  # a-r, b-r, r-poa1 and two radios; not c-r, nor r-poa2


@as_root
def test_a_node_sees_its_link_go_and_come_across_what_delays_it(measured: dict[str, Any]) -> None:
    assert measured["moved"] == [True, False, True, False, True]
    assert measured["unattached"] is False


@as_root
def test_a_link_is_changed_while_the_lab_runs(measured: dict[str, Any]) -> None:
    assert measured["shorter_ms"] == pytest.approx(10, abs=2)
    assert measured["other_ms"] == pytest.approx(30, abs=2)  # one way only, said from the other end
    assert measured["delayed_later_ms"] == pytest.approx(25, abs=2)  # lost before, delayed now, besides its cell's 5 ms
    assert measured["lossless_answers"] == 200


@as_root
def test_a_change_that_fails_leaves_the_link_as_it_was(measured: dict[str, Any]) -> None:
    assert "tc -batch" in measured["failed_change"]
    assert 8e6 < measured["restored_bps"] < 10.2e6
    assert 3e6 < measured["slower_bps"] < 4.2e6


@as_root
def test_what_was_asked_and_found_at_first_is_kept_beside_the_changes(measured: dict[str, Any]) -> None:
    after = {row["direction"]: row for row in measured["after"]}
    begun = by_direction(measured)
    assert {name: row | {"changes": []} for name, row in after.items()} == begun
    changes = after["a to r"]["changes"]
    assert [change["to"] for change in changes] == ["delay=5ms", "perfect"]
    assert 0 < changes[0]["t_ns"] < changes[1]["t_ns"]
    assert [change["to"] for change in after["b to r"]["changes"]] == ["rate=4mbit"]


@as_root
def test_what_cannot_be_changed_is_refused_and_changes_nothing(measured: dict[str, Any]) -> None:
    assert "perfect when the lab began" in measured["perfect_change"]
    assert "a queue without a rate" in measured["impossible_change"]
    assert measured["kept_ms"] == pytest.approx(30, abs=2)


@as_root
def test_perfect_links_can_be_changed_where_that_was_foreseen(tmp_path: Path) -> None:
    found = links(tmp_path, "adjust")
    assert found["links"] == []
    assert (found["cut_answers"], found["mended_answers"]) == (0, 3)
    if found["filters"]:  # what has no netem delays by a process, whose death nothing else would tell
        assert "on node (link a to r) was killed by SIGKILL" in found["died"]


@as_root
def test_a_link_that_is_not_what_was_asked_is_found_with_the_figure(tmp_path: Path) -> None:
    found = links(tmp_path, "spoil")
    assert "link a to r is not what it was asked to be (delay=20ms" in found["delay"]
    assert re.search(r"delay 2[2-4]\.\d\d ms instead of 20 ms", found["delay"])
    assert re.search(r"loss [567]\.\d\d% .* instead of 2.00%", found["loss"])
    assert "duplicates 0.00%" in found["duplicate"]
    assert "Mbit/s instead of 10 " in found["rate"]


def test_an_ordinary_user_has_all_but_delays_or_taps(tmp_path: Path) -> None:
    found = links(tmp_path, "no-taps", AS_USER)
    assert [row["mechanism"] for row in found["links"]] == ["netem+tbf" if found["netem"] else "nft+tbf"] * 2
    if found["taps"] or found["netem"]:
        assert found["delay"] == ""
    else:
        assert "neither netem nor taps" in found["delay"]


@as_root
def test_netem_reorders_and_delays_by_fractions_of_a_millisecond(tmp_path: Path) -> None:
    if not doctor.examine(("netem",))[0].ok:
        pytest.skip("this kernel has no netem")
    found = links(tmp_path, "netem")
    rows = by_direction(found)
    assert rows["a to r"]["measured"]["delay_s"] == pytest.approx(0.0025, abs=0.001)
    assert rows["b to r"]["measured"]["reorder"] == pytest.approx(0.05, abs=0.03)
    assert found["later_ms"] == pytest.approx(20, abs=2)


def test_a_run_tells_of_its_links(tmp_path: Path) -> None:
    finished = run(tmp_path, "join", "--link", "mcs>rr:rate=20mbit;mn-air:rate=20mbit")
    assert finished.status == 0, finished.explain()
    assert {row["direction"]: row["mechanism"] for row in finished.result["links"]} == {
        "mcs to rr": "tbf", "rr to mcs": "none", "mn to air": "tbf", "air to mn": "tbf",
    }  # fmt: skip
    assert "links    as asked: mcs to rr" in finished.out


def test_a_link_that_there_is_not_is_refused_before_anything_starts(tmp_path: Path) -> None:
    finished = run(tmp_path, "join", "--link", "mcs-ar9:loss=1%")
    assert finished.status == 2
    assert "there is no link mcs-ar9; its links: mcs-rr" in finished.errors
    assert finished.folder is None
