"""The ladder of a run while it goes on: rows as they become final, about two seconds after they happened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

from captures.files.capture import Frame, Step
from captures.history.control import every_protocol
from captures.history.data import DataWindows
from captures.history.history import History
from captures.history.lines import plain
from captures.history.participants import Participant, Participants
from captures.ladder.builder import LadderBuilder
from captures.ladder.rows import Row, Selection, StepRow, row_as_dict
from captures.ladder.text import LadderText, Segment
from captures.live.follow import POLL_S, Happened, LiveRun

_REORDER_NS = 200_000_000  # records come in order; a window of data is told of once it is over


class LiveLadder:
    """Walks a run that goes on and tells its rows; `ports` as those of `captures.history.run.Run`."""

    def __init__(
        self,
        live: LiveRun,
        selection: Selection,
        sleep: Callable[[float], None] = time.sleep,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._ports = ports or {}
        self._live = live
        self._selection = selection
        self._sleep = sleep
        self._participants = Participants()
        self._participants.learn_model(live.model)
        self._builder = LadderBuilder(self._participants)
        self.hidden: dict[str, int] = {}

    def rows(self) -> Iterator[Row]:
        """The rows that are wanted, until the run ends."""
        protocols = every_protocol(self._ports)
        for event in History(self._records(), protocols, data=DataWindows(), reorder_ns=_REORDER_NS):
            yield from self._wanted(self._builder.take(plain(event)))
        yield from self._wanted(self._builder.finish())

    def json_lines(self) -> Iterator[str]:
        """One JSON object for each row."""
        for row in self.rows():
            yield json.dumps(row_as_dict(row), ensure_ascii=False)

    def text_lines(self, width: int | None, *, unicode: bool) -> Iterator[list[Segment]]:
        """Lines as of `captures.ladder.text`; the participants are named again whenever others come in."""
        text = LadderText((), 0)
        named: list[str] = []
        for row in self.rows():
            begins = isinstance(row, StepRow) and row.step == "handover_begin"
            if begins or not set(row.nodes) <= set(named):
                known = self._participants.all()
                columns = [
                    *known,
                    *(Participant(name) for name in row.nodes if name not in {one.name for one in known}),
                ]
                if [column.name for column in columns] != named:
                    named = [column.name for column in columns]
                    text = LadderText(columns, self._builder.begin_ns, width, unicode=unicode, frame_digits=6)
                yield []
                yield from text.header()
            yield from text.row(row)
        yield from text.left_out(self.hidden)
        if self._live.late:
            yield [(f"{self._live.late} packets came late: lab.pcapng may number the frames otherwise", "yellow")]

    def _wanted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            why = self._selection.refusal(row, self._builder.begin_ns)
            if why is None:
                yield row
            elif why:
                self.hidden[why] = self.hidden.get(why, 0) + 1

    def _records(self) -> Iterator[Frame | Step]:
        number = 0
        while not self._live.ended:
            for record in self._live.poll():
                number += 1
                if isinstance(record, Happened):
                    yield Step(number, record.t_ns, record.fields["step"], record.fields)
                else:
                    name, link_type = record.interface
                    yield Frame(number, record.t_ns, name, link_type, record.data)
            if not self._live.ended:
                self._sleep(POLL_S)
