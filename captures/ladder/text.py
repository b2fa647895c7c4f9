"""A ladder as text: one line for each row, as wide as the terminal, plain characters where it cannot show others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from captures.history.participants import Participant
from captures.ladder.rows import Failure, Ladder, MessageRow, NoteRow, Row, StepRow, StreamRow
from captures.protocols import names

Segment = tuple[str, str]
"""A piece of a line and its style, empty for none."""

_TIME = 11  # columns of a time in seconds with six decimals
_PITCH_MIN, _PITCH_MAX = 5, 12
_WIDE = 140  # columns that the lanes are made for where lines may be as long as they get
_TEXT_MIN = 28
_ROUTING_STYLES = {"igmp": "green", "mld": "green", "pim": "yellow"}
_PROTOCOL_STYLES = ("cyan", "magenta")  # one after the other, of protocols with a room
_SHOWN_LATE_NS = 1_000_000  # a packet that was on its way for longer is worth a word

_PLAIN = str.maketrans(
    {
        "│": "|", "─": "-", "┼": "+", "├": "|", "┤": "|", "▶": ">", "◀": "<", "✗": "x", "◆": "*", "·": ".", "╌": "-",
        "…": "~",
    }
)  # fmt: skip


class LadderText:
    """Makes lines of rows. `width` is the terminal's, None for lines as long as they get; `unicode`: may draw boxes."""

    def __init__(
        self,
        columns: Sequence[Participant],
        begin_ns: int,
        width: int | None = None,
        *,
        unicode: bool = True,
        frame_digits: int = 5,
    ) -> None:
        self.columns = columns
        self.begin_ns = begin_ns
        self.width = width
        self.unicode = unicode
        self.frame_digits = frame_digits
        self._lane = {column.name: index for index, column in enumerate(columns)}
        self._left = _TIME + 1 + frame_digits + 2
        room = (width or _WIDE) - self._left - _TEXT_MIN
        self._pitch = max(_PITCH_MIN, min(_PITCH_MAX, room // max(1, len(columns))))
        self._area = self._pitch * len(columns)
        self._seen: set[Failure] = set()

    # --- lines

    def header(self) -> list[list[Segment]]:
        """Who is who, and each one's cell."""
        lines = [self._line(" " * self._left + self._titles([column.name for column in self.columns]), "bold")]
        if any(column.cell for column in self.columns):
            cells = [column.cell or column.role.replace("host", "") for column in self.columns]
            head = "time s".rjust(_TIME) + " " + "frame".rjust(self.frame_digits) + "  "
            lines.append(self._line(head[: self._left].ljust(self._left) + self._titles(cells), "dim"))
        return lines

    def row(self, row: Row) -> Iterator[list[Segment]]:
        """The lines of one row: itself, then the rules that failed on it."""
        if isinstance(row, StepRow):
            yield self._step(row)
        elif isinstance(row, MessageRow):
            yield self._message(row)
        else:
            yield self._at_one(row)
        for failure in row.failures:
            # A rule has many frames; only the first of them says it all.
            told = failure in self._seen
            self._seen.add(failure)
            text = f"✗ {failure.rule}" if told else failure_text(failure)
            yield self._line(" " * self._left + text, "bold red", whole=not told)

    def footer(self, ladder: Ladder) -> Iterator[list[Segment]]:
        """Failed rules that no row shows, and how much was left out."""
        for failure in ladder.unplaced:
            yield self._line(failure_text(failure), "bold red", whole=True)
        yield from self.left_out(ladder.hidden or {})

    def left_out(self, hidden: Mapping[str, int]) -> Iterator[list[Segment]]:
        """How many rows of which kind are not shown; nothing if all are."""
        if hidden:
            counts = ", ".join(f"{count} {why}" for why, count in sorted(hidden.items(), key=lambda one: -one[1]))
            yield []
            yield self._line(f"left out: {counts}", "dim", whole=True)

    def _titles(self, names: Sequence[str]) -> str:
        return "".join(name[: self._pitch - 1].center(self._pitch) for name in names)

    def _line(self, text: str, style: str, *, whole: bool = False) -> list[Segment]:
        return self._fitted([(text, style)], whole=whole)

    def _fitted(self, segments: list[Segment], *, whole: bool = False) -> list[Segment]:
        """Cut to the width, unless it is to be read as a `whole`."""
        room = None if whole or self.width is None else self.width
        fitted: list[Segment] = []
        for number, (text, style) in enumerate(segments):
            last = number == len(segments) - 1
            shown = text.rstrip() if last else text
            if room is not None:
                if len(shown) > room:
                    shown = shown[: room - 1] + "…" if room > 1 else shown[:room]
                room -= len(shown)
            fitted.append((shown if self.unicode else shown.translate(_PLAIN), style))
        return fitted

    def _start(self, row: Row) -> Segment:
        frame = str(row.frames[0]) if row.frames else ""
        text = f"{(row.t_ns - self.begin_ns) / 1e9:>{_TIME}.6f} {frame:>{self.frame_digits}}"
        return f"{text} {'✗' if row.failures else ' '}", "bold red" if row.failures else "dim"

    def _step(self, row: StepRow) -> list[Segment]:
        rule = "╌" if row.link else "─"
        text = f"{rule * 2} {row.text} "
        return self._fitted([self._start(row), (text.ljust(self._area, rule), "yellow" if row.link else "bold")])

    def _at_one(self, row: StreamRow | NoteRow) -> list[Segment]:
        lanes = self._lifelines()
        lane = self._lane.get(row.node)
        if lane is not None:
            lanes[self._at(lane)] = "◆" if isinstance(row, StreamRow) else "·"
        style = "dim"
        text = row.text
        if isinstance(row, StreamRow):
            style = "blue"
        else:
            text = f"{row.node} {row.origin}: {text}"
        return self._fitted([self._start(row), ("".join(lanes), style), (f" {text}", style)])

    # --- arrows

    def _at(self, lane: int) -> int:
        return lane * self._pitch + (self._pitch - 1) // 2

    def _lifelines(self) -> list[str]:
        lanes = [" "] * self._area
        for lane in range(len(self.columns)):
            lanes[self._at(lane)] = "│"
        return lanes

    def _message(self, row: MessageRow) -> list[Segment]:
        lanes = self._lifelines()
        label = row.label + (f" ({row.attempt})" if row.attempt > 1 else "")
        drawn = self._arrow(lanes, row, label)
        said = [] if drawn else [label]
        said += [row.text] if row.text else []
        if row.fate == "lost":
            said.append(f"LOST after {row.last_seen}")
        elif row.fate == "arrived" and row.travelled_ns >= _SHOWN_LATE_NS:
            said.append(f"in {row.travelled_ns / 1e6:.1f} ms")
        if not {row.sender, *row.receivers} <= set(self._lane):
            said.append(f"{row.sender} to {', '.join(row.receivers) or 'nobody'}")
        lost = row.fate == "lost"
        style = "bold red" if lost else _style_of(row.protocol)
        return self._fitted([self._start(row), ("".join(lanes), style), (" " + ", ".join(said), "red" if lost else "")])

    def _arrow(self, lanes: list[str], row: MessageRow, label: str) -> bool:
        """Draw into `lanes`; whether the label found room on the arrow."""
        sender = self._lane.get(row.sender)
        ends = [self._lane[name] for name in row.receivers if name in self._lane and name != row.sender]
        if sender is None or not ends:
            for lane in (sender, *ends):
                if lane is not None:
                    lanes[self._at(lane)] = "◆"
            return False
        begin = self._at(sender)
        left, right = min([begin, *map(self._at, ends)]), max([begin, *map(self._at, ends)])
        if row.fate == "lost":
            return self._lost_arrow(lanes, row, label, begin, left, right)
        for x in range(left + 1, right):
            lanes[x] = "┼" if lanes[x] in "│┼" else "─"
        lanes[begin] = "┼" if left < begin < right else "├" if begin == left else "┤"
        for end in map(self._at, ends):
            lanes[end - 1 if end > begin else end + 1] = "▶" if end > begin else "◀"
        return self._label(lanes, label, left, right)

    def _lost_arrow(self, lanes: list[str], row: MessageRow, label: str, begin: int, left: int, right: int) -> bool:
        """An arrow that ends where the packet was seen last, or right behind its sender."""
        toward = 1 if right > begin else -1
        seen = self._lane.get(row.last_seen.partition(":")[0])
        reached = begin if seen is None else self._at(seen)
        end = reached + toward * 2 if left <= reached <= right else begin + toward * 2
        for x in range(begin + toward, end, toward):
            lanes[x] = "┼" if lanes[x] in "│┼" else "─"
        lanes[begin] = "├" if toward > 0 else "┤"
        lanes[end] = "✗"
        return self._label(lanes, label, min(begin, end), max(begin, end))

    @staticmethod
    def _label(lanes: list[str], label: str, left: int, right: int) -> bool:
        """Write the label on the longest piece of the arrow without heads, between two ends, if there is room."""
        pieces: list[tuple[int, int]] = []
        begin = left + 1
        for x in range(left + 1, right + 1):
            if lanes[x] in "▶◀✗" or x == right:
                # On the far side of a head stands the lifeline it points to.
                pieces.append((begin, x - 1 if lanes[x] == "◀" else x))
                begin = x + 2 if lanes[x] == "▶" else x + 1
        begin, end = max(pieces, key=lambda piece: piece[1] - piece[0])
        room = end - begin - len(label) - 2
        if room < 0:
            return False
        at = begin + room // 2
        lanes[at : at + len(label) + 2] = f" {label} "
        return True


def _style_of(name: str) -> str:
    known = names()
    at = known.index(name) if name in known else 0
    return _ROUTING_STYLES.get(name) or _PROTOCOL_STYLES[at % len(_PROTOCOL_STYLES)]


def failure_text(failure: Failure) -> str:
    """A rule that failed, in one line."""
    frames = ", ".join(map(str, failure.frames[:8])) + (" …" if len(failure.frames) > 8 else "")
    return f"✗ FAILED {failure.rule} [{failure.clause}] {failure.subject}: {failure.message}" + (
        f" (frames {frames})" if frames else ""
    )


def ladder_lines(ladder: Ladder, width: int | None = None, *, unicode: bool = True) -> Iterator[list[Segment]]:
    """All lines of a ladder, with the participants' names again at each handover."""
    digits = max([5, *(len(str(row.frames[0])) for row in ladder.rows if row.frames)])
    text = LadderText(ladder.columns, ladder.begin_ns, width, unicode=unicode, frame_digits=digits)
    if ladder.rows:
        yield from text.header()
    for number, row in enumerate(ladder.rows):
        if number and isinstance(row, StepRow) and row.step == "handover_begin":
            yield []
            yield from text.header()
        yield from text.row(row)
    yield from text.footer(ladder)
