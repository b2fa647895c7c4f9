"""What a lab asked its links to do is held against nobody: what its steps say of them, and whom that excuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.findings import Verdict
from captures.rules.packs.pack import Settings
from tests.captures.scripted_link import T0, ScriptedLink, good_link

WATCHED = "a:a-b"


def link(first: str, second: str, **forward: float) -> dict[str, Any]:
    ends = {
        "first": {"node": first, "interface": f"{first}-{second}"},
        "second": {"node": second, "interface": f"{second}-{first}"},
    }
    return {**ends, "forward": forward, "backward": {}}


def judged(
    spoilt: ScriptedLink, folder: Path, model: Mapping[str, Any], *steps: Mapping[str, Any]
) -> dict[str, Verdict]:
    """Verdicts by rule, of a lab with that model, captured at one interface of its node a."""
    path = folder / "lab.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface(WATCHED, 1)])
        for number, step in enumerate(({"step": "model", "model": model}, *steps)):
            writer.step({"t_ns": T0 + number, **step})
        for frame in spoilt.ordered():
            writer.frame(T0 + 1000 + round(frame.at_s * 1e9), 0, frame.data)
        writer.flush()
    settings = Settings(max_gap_s=1.0, max_jitter_s=0.05)
    return {verdict.rule: verdict for verdict in verify(CaptureReader(path), settings=settings).verdicts}


@pytest.mark.parametrize(
    ("rule", "spoil", "quality", "why"),
    [
        ("rtp-loss", lambda link: link.drop("data.900"), {"loss": 0.01}, "loses 1 %"),
        ("rtp-loss", lambda link: link.drop("data.900"), {"rate_bps": 5_000_000}, "carries 5 Mbit/s at most"),
        ("rtp-duplicates", lambda link: link.copy("data.900", 0.001), {"duplicate": 0.005}, "doubles 0.5 %"),
        ("rtp-order", lambda link: link.move("data.900", 0.011), {"reorder": 0.05}, "reorders 5 %"),
        ("rtp-order", lambda link: link.move("data.900", 0.011), {"jitter_s": 0.01}, "is up to 10 ms early or late"),
        ("rtp-interruption", lambda link: link.drop("data.9??").drop("data.10??"), {"loss": 0.5}, "loses 50 %"),
        ("rtp-jitter", lambda link: link.move("data.1[0-9]??", 1), {"jitter_s": 1.0}, "is up to 1000 ms early or late"),
    ],
)  # fmt: skip
def test_a_stream_is_excused_by_any_link_that_does_it(
    tmp_path: Path, rule: str, spoil: Any, quality: dict[str, float], why: str
) -> None:
    found = judged(spoil(good_link()), tmp_path, {"links": [link("a", "b"), link("b", "c", **quality)]})[rule]
    assert (found.verdict, found.message.partition(": ")[0]) == ("unseen", f"the lab's link b-c {why} on purpose")
    other = {"delay_s": 0.2} if "loss" in quality or "rate_bps" in quality else {"loss": 0.01}
    assert judged(spoil(good_link()), tmp_path, {"links": [link("b", "c", **other)]})[rule].verdict == "failed"


def test_what_keeps_a_rule_passes_on_a_lossy_link_too(tmp_path: Path) -> None:
    found = judged(good_link(), tmp_path, {"links": [link("a", "b", loss=0.01)]})
    assert {found[rule].verdict for rule in ("rtp-loss", "igmp-query-period", "pim-hello-period")} == {"passed"}


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ("igmp-query-answered", "igmp.answer.mn.14"),
        ("mld-report-repeated", "mld.join.mn.1"),
        ("igmp-last-member-query", "igmp.specific.?"),
        ("mld-query-period", "mld.query.2"),
        ("pim-hello-period", "pim.hello.b.9"),
        ("pim-join-refresh", "pim.join.4"),
    ],
)
def test_control_packets_are_excused_by_their_own_link_only(tmp_path: Path, rule: str, lost: str) -> None:
    here, elsewhere = link("a", "b", loss=0.01), link("b", "c", loss=0.01)
    spoilt = good_link().drop(lost)
    assert judged(spoilt, tmp_path, {"links": [here]})[rule].verdict == "unseen"
    assert judged(spoilt, tmp_path, {"links": [link("a", "b"), elsewhere]})[rule].verdict == "failed"


def test_a_cell_is_what_all_who_are_in_it_share(tmp_path: Path) -> None:
    radio = {"node": "mn", "interface": "mn-radio", "addresses": [["cell", "10.0.0.9/24"]], "backward": {"loss": 0.1}}
    model = {
        "attachments": [{"end": {"node": "a", "interface": "a-b"}, "point_of_attachment": "cell"}],
        "radios": [radio],
    }
    found = judged(good_link().drop("igmp.answer.mn.14"), tmp_path, model)["igmp-query-answered"]
    assert (found.verdict, found.message.partition(": ")[0]) == (
        "unseen",
        "the lab's link mn-air loses 10 % on purpose",
    )


@pytest.mark.parametrize(
    ("asked", "verdict"), [("delay 20ms loss 1%", "unseen"), ("down", "unseen"), ("delay 20ms", "failed")]
)
def test_a_link_may_be_changed_while_the_lab_runs(tmp_path: Path, asked: str, verdict: str) -> None:
    step = {"step": "link", "first": "b", "second": "a", "asked": asked}
    found = judged(good_link().drop("data.900"), tmp_path, {"links": [link("a", "b")]}, step)["rtp-loss"]
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "model",
    [
        {"links": [{"first": 3, "forward": {"loss": "much"}}, 7], "attachments": [{}], "radios": [{"addresses": [7, []]}]},
        {"links": [link("a", "b", loss=10**400)]},
        {"links": 7, "radios": None},
    ],
)  # fmt: skip
def test_a_damaged_model_excuses_nothing(tmp_path: Path, model: dict[str, Any]) -> None:
    assert judged(good_link().drop("data.900"), tmp_path, model)["rtp-loss"].verdict == "failed"
