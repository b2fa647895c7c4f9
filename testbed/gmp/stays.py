"""The stays of members with the stream: from when until when each received, and whether what must arrive did, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.gmp.asking import received
from testbed.gmp.results import Row, SessionMeasurements
from testbed.gmp.session import ACTIVE, Session

LATEST_S = 5.0  # from activation to the first packet, whatever joins and builds a tree
STOPPED_NS = 500_000_000
"""After a stay's end, until nothing may be taken any more: an agent has told its receiver by then."""

FOREVER_NS = 1 << 62


@dataclass(slots=True)
class _Stay:
    entry: str
    told_ns: int


@dataclass(slots=True)
class Stays:
    """The stays of one run."""

    session: Session
    measurements: SessionMeasurements
    _open: dict[str, _Stay] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def begin(self, *nodes: str, entry: str = "first") -> None:
        """Activate members and wait until each receives. ``entry``: as of the table, where it is no second time."""
        told = self.session.bring("activate", ACTIVE, *nodes)
        for node, told_ns in told.items():
            self._open[node] = _Stay("again" if node in self._seen else entry, told_ns)
            self._seen.add(node)
        for node, told_ns in told.items():
            self.session.await_data(node, since_ns=told_ns)

    def end(self, until: str, ended_ns: int, *nodes: str, goes_on: bool = False) -> None:
        """What members received in the stays that ended at ``ended_ns`` (CLOCK_REALTIME); enough must have been sent since.

        ``goes_on``: the receivers eavesdrop from then on.
        """
        for node in nodes:
            self._end(node, self._open.pop(node), until, ended_ns, goes_on=goes_on)

    def _end(self, node: str, stay: _Stay, until: str, ended_ns: int, *, goes_on: bool) -> None:
        receiver, rows = self.session.receivers[node], self.measurements.stays
        problems: list[str] = []
        row: Row = {"stay": len(rows) + 1, "member": node, "entry": stay.entry, "until": until, "problems": problems}
        rows.append(row)
        window = received(receiver, stay.told_ns, ended_ns)
        if "error" in window:
            row["error"] = window["error"]
            if receiver.is_ours:
                problems.append(f"received nothing that can be measured: {window['error']}")
            return
        first_ns, last_ns, lost = window["first_ns"], window["last_ns"], window["lost"]
        after = None if goes_on else received(receiver, ended_ns + STOPPED_NS, FOREVER_NS).get("packets", 0)
        to_data_s = (first_ns - stay.told_ns) / 1e9
        row |= {"activation_to_data_ms": to_data_s * 1000, "seconds": (last_ns - first_ns) / 1e9}
        row |= {"packets": window["packets"], "lost": lost, "after": after}
        if lost:
            problems.append(f"{lost} packets lost while it was there")
        if after:
            problems.append(f"{after} packets taken after {until}")
        if to_data_s > LATEST_S:
            problems.append(f"the first packet came {to_data_s:.1f} s after its activation")
