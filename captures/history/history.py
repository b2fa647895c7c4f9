"""The history of a capture: one reading of its records gives every event there is, in order of time.

Control packets over UDP, TCP and IP are dissected one by one, in tunnels too; steps are as they are; RTP is counted, and told
packet by packet to whoever taps it. Packets captured out of order are put right within a window, and what comes later than
that is yielded where it stands and counted. Memory is bounded by that window and by the number of streams and connections.
Nothing here needs to know who is who.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from captures.files.capture import Frame, Step
from captures.history.clocks import Clocks
from captures.history.data import WINDOW_NS, DataTap, DataWindows
from captures.history.events import Event
from captures.history.interfaces import COPY_NS, Interfaces, Tunnels
from captures.history.packets import RTCP, PacketReader, PassedOver, PortProtocol
from captures.history.steps import StepReader
from captures.wire.address_signs import SIGNS_MAX, AddressSigns, of_arp
from captures.wire.headers import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, PROTOCOL_UDP, ip_packet, known_link_type
from captures.wire.rtp import Streams

REORDER_NS = 1_000_000_000
"""How far records may be out of order of time and still be put right."""
_REORDER_EVENTS = 50_000
_PROGRESS_FRAMES = 10_000
_LINK_TYPE = "frames of link type"
_FLOWS_MAX = 4096
_IPV4, _IPV6 = 0x0800, 0x86DD

# What a lab does to a link or a membership: data missing around these steps was not lost by the network.
_INTERRUPTING_STEPS = frozenset(
    {"link_down", "link_up", "session_begin", "session_end", "handover_begin", "handover_end"}
)

# Ethernet without VLAN, IP without options, UDP, RTP: what most frames of a capture are. EtherType, of IPv4 the fragment
# word, the protocol, addresses and ports, RTP's header.
_ETHERNET_OCTETS = 14
_PLAIN_IPV4 = struct.Struct("!12xH6xHxB2x12s4xBBHII").unpack_from
_PLAIN_IPV4_OCTETS = 54
_PLAIN_IPV6 = struct.Struct("!12xH6xBx36s4xBBHII").unpack_from
_PLAIN_IPV6_OCTETS = 74


class History:
    """The events of a capture, to be iterated once, and what else was found on the way.

    `protocols` are looked for at their ports. `data` is told of every RTP packet; without it, `streams` counts them.
    `DataWindows` makes events of them, which are yielded among the others. `progress` is called with the number of
    frames read now and then.

    `streams` are its RTP streams, `passed_over` counts frames that are no event and no stream by reason, `frames` and `steps`
    what was read. `address_signs` tell how hosts came by addresses. `on_parameters` is called with each ``parameters`` step as soon as it is read, ahead of the events of its
    time. `interfaces` says when each was heard, `tunnels` what those are that were looked into, `late` counts the
    events that came out of order beyond `reorder_ns`.
    """

    def __init__(
        self,
        reader: Iterable[Frame | Step],
        protocols: Iterable[PortProtocol] = (),
        progress: Callable[[int], None] | None = None,
        *,
        data: DataTap | None = None,
        reorder_ns: int = REORDER_NS,
    ) -> None:
        self.reader = reader
        self.streams = Streams()
        self.passed_over = PassedOver()
        self.interfaces = Interfaces()
        self._heard = self.interfaces.heard
        self._clocks = Clocks()
        self.tunnels = Tunnels()
        self.frames = self.steps = self.late = 0
        self.on_parameters: Callable[[Step], object] | None = None
        self._progress = progress
        self._reorder_ns = reorder_ns
        self._windows = data if isinstance(data, DataWindows) else None
        self._data: DataTap = self.streams if data is None else data
        self.address_signs = AddressSigns()
        self._packets = PacketReader(
            protocols, self._data, self.interfaces, self.tunnels, self.passed_over, self.address_signs
        )
        self._data_flows: set[bytes] = set()
        self._steps = StepReader()
        self._step_times = [1 << 64, 0]

    @property
    def began(self) -> dict[str, int]:
        """When each interface was first heard, in ns; of a capture that is being read those heard so far."""
        return self.interfaces.began

    @property
    def begin_ns(self) -> int:
        """The time of the first record, 0 if there is none."""
        first = min([self._step_times[0], *(heard.first_ns for heard in self.interfaces.heard.values())])
        return first if self.frames or self.steps else 0

    @property
    def end_ns(self) -> int:
        """The time of the last record, 0 if there is none."""
        return max([self._step_times[1], *(heard.last_ns for heard in self.interfaces.heard.values())])

    def clock_shifts(self) -> dict[str, int]:
        """By interface, how far its clock is ahead of the others' in ns, of those of which packets show that it is wrong."""
        return self._clocks.shifts()

    def warnings(self, named: Iterable[str] = ()) -> list[str]:
        """What the events of a whole capture do not tell, as texts; `named` are interfaces that are there or should be."""
        found = [f"{name} captured nothing" for name in self.interfaces.silent(named)]
        found += [
            f"{count} {reason} cannot be read and are passed over"
            for reason, count in self.passed_over.items()
            if reason.startswith(_LINK_TYPE)
        ]
        found += [
            f"the clock of {name} is {abs(shift) / 1e6:.1f} ms {'ahead of' if shift > 0 else 'behind'} the others'"
            for name, shift in self.clock_shifts().items()
        ]
        found += [
            f"{name} shows {count} frames twice within {COPY_NS // 1000} µs, which were counted once"
            for name, count in self.interfaces.copies.items()
        ]
        found += [f"{name} is the tunnel between {' and '.join(ends)}" for name, ends in self.tunnels.named().items()]
        if self.late:
            found.append(
                f"{self.late} control packets came out of order by more than {self._reorder_ns / 1e9:g} s, and were judged where"
                " they stand"
            )
        if self._steps.evicted:
            found.append(
                f"{self._steps.evicted} names in steps were forgotten for lack of room: whom later ones mean is lost"
            )
        if self._clocks.left_out and len(self.interfaces.heard) > 1:
            found.append(
                f"{self._clocks.left_out} sightings of control packets came too late for the clocks to be compared by them"
            )
        if self._windows is not None and self._windows.cut:
            found.append(f"{self._windows.cut} windows of data were told of before they were over, for lack of room")
        if self.streams.evicted:
            packets = self.streams.evicted_packets
            found.append(f"{self.streams.evicted} streams ({packets} packets) were forgotten for lack of room")
        if self.address_signs.left_out:
            found.append(f"of packets that tell of addresses, those after the first {SIGNS_MAX} were left out")
        if evicted := self._packets.connections.evicted:
            found.append(f"{evicted} directions of TCP connections were forgotten for lack of room")
        return found

    def __iter__(self) -> Iterator[Event]:
        waiting: list[tuple[int, int, int, Event]] = []
        released = newest = order = 0
        over = self._windows.over if self._windows is not None else []
        frame, step = self._frame, self._step
        for record in self.reader:
            found = frame(record) if isinstance(record, Frame) else step(record)
            if not found and not over:
                continue
            if self._windows is not None:
                # Nothing comes any more into windows that began so long ago.
                self._windows.close(record.t_ns - 2 * WINDOW_NS)
                found = [*over, *found]
                over.clear()
            for event in found:
                t_ns = event.t_ns
                newest = max(newest, t_ns)
                if t_ns < released:
                    self.late += 1
                    yield event
                    continue
                order += 1
                heapq.heappush(waiting, (t_ns, event.number, order, event))
                while waiting[0][0] < newest - self._reorder_ns or len(waiting) > _REORDER_EVENTS:
                    released, _, _, first = heapq.heappop(waiting)
                    yield first
        if self._windows is not None:
            self._windows.close(None)
            waiting += ((event.t_ns, event.number, order + n, event) for n, event in enumerate(over, 1))
            heapq.heapify(waiting)
        while waiting:
            yield heapq.heappop(waiting)[3]

    def _step(self, step: Step) -> Sequence[Event]:
        self.steps += 1
        times = self._step_times
        times[0], times[1] = min(times[0], step.t_ns), max(times[1], step.t_ns)
        if step.name == "parameters":
            if self.on_parameters is not None:
                self.on_parameters(step)
            self._packets.listen(step.fields)
            self._data_flows.clear()
        if step.name in _INTERRUPTING_STEPS:
            for interface in self.began:
                self._data.changed(interface, step.t_ns)
        return (self._steps.event(step),)

    def _frame(self, frame: Frame) -> Sequence[Event]:
        number, t_ns, interface, link_type, data = frame
        self.frames = frames = self.frames + 1
        if not frames % _PROGRESS_FRAMES and self._progress is not None:
            self._progress(frames)
        heard = self._heard.get(interface)
        if heard is None or data == heard.octets or t_ns < heard.last_ns or link_type == LINKTYPE_LINUX_SLL:
            if self.interfaces.is_copy(interface, t_ns, link_type, data):
                self.passed_over.count("copies of the frame before at the same interface")
                return ()
        else:
            heard.last_ns, heard.octets = t_ns, data
        if link_type == LINKTYPE_ETHERNET and self._plain_rtp(number, t_ns, interface, data):
            return ()
        packet = ip_packet(link_type, data)
        if packet is None:
            if sign := of_arp(link_type, data):
                self.address_signs.add(t_ns, number, interface, *sign)
            self.passed_over.count(_why_no_packet(link_type, data))
            return ()
        found = self._packets.events(frame, packet)
        if found:
            self._clocks.see(interface, t_ns, packet, data)
        return found

    def _plain_rtp(self, number: int, t_ns: int, interface: str, data: bytes) -> bool:
        """Count a frame that may be RTP and has no headers out of the ordinary; say whether it was one."""
        octets = len(data)
        if octets < _PLAIN_IPV4_OCTETS:
            return False
        version = data[_ETHERNET_OCTETS]
        if version == 0x45:
            ethertype, fragment, protocol, flow, first, kind, sequence, timestamp, ssrc = _PLAIN_IPV4(data)
            if ethertype != _IPV4 or fragment & 0x3FFF:
                return False
        elif version >> 4 == 6 and octets >= _PLAIN_IPV6_OCTETS:
            ethertype, protocol, flow, first, kind, sequence, timestamp, ssrc = _PLAIN_IPV6(data)
            if ethertype != _IPV6:
                return False
        else:
            return False
        kind &= 127
        if protocol != PROTOCOL_UDP or first >> 6 != 2 or kind in RTCP:
            return False
        if flow not in self._data_flows and not self._is_data(flow):
            return False
        self._data.add(interface, flow, ssrc, number, t_ns, kind, sequence, timestamp)
        return True

    def _is_data(self, flow: bytes) -> bool:
        """Whether no control protocol is at the flow's ports; if so it is remembered."""
        ports = self._packets.control_ports
        if flow[-2:] in ports or flow[-4:-2] in ports:
            return False
        if len(self._data_flows) >= _FLOWS_MAX:
            self._data_flows.clear()
        self._data_flows.add(flow)
        return True


def _why_no_packet(link_type: int, data: bytes) -> str:
    if not known_link_type(link_type):
        return f"{_LINK_TYPE} {link_type}"
    if link_type == LINKTYPE_ETHERNET and len(data) >= 14:
        ethertype = int.from_bytes(data[12:14])
        if ethertype not in (_IPV4, _IPV6):
            return f"frames of EtherType {ethertype:#06x}"
        return "frames cut off inside their headers"
    return "frames that hold no IP packet"
