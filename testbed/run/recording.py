"""Recording of every link of a network: one tcpdump at one end of each, joined into one ``lab.pcapng`` afterwards.

The joining and the judging are the captures package's, run as a program: what made the traffic does not judge it.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from testbed.host.checks import eventually
from testbed.host.processes import ManagedProcess
from testbed.host.sandbox import our_program, program_environment
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab

CAPTURE = "capture"  # in the run's folder: a file for each link
START_DEADLINE_S = 10.0  # for tcpdump to say that it listens
TOOL_DEADLINE_S = 120.0  # for joining or judging a capture
TOOL_DEADLINE_S_PER_MB = 3.0  # and for a large one so much more
SNAPSHOT_BYTES = 2048  # longer than any frame of a lab: nothing is cut
BUFFER_KIB = 16384  # kernel buffer of a tcpdump: seconds of the fastest stream
BUFFERS_KIB = 1 << 20  # of all tcpdumps together, which share it where there are many

MANY_RADIOS = 16
"""From so many on, a mobile node's link is recorded without the reports that others send to routers alone.

In a cell each of them passes every node's link: of a hundred nodes that is ten thousand, and tells nothing new.
"""

_TO_ROUTERS = {4: "dst host 224.0.0.22", 6: "dst host ff02::16"}

WRITTEN_DEADLINE_S = 10.0  # a recorder's buffer is handed over at least once a second

_COUNTS = re.compile(r"(\d+) packets? captured, (\d+) packets? received by filter")
_DROPPED = re.compile(r"^(\d+) packets? dropped by (kernel|interface)", re.MULTILINE)


class RecordingError(RuntimeError):
    """The capture could not be made or judged; says what the tool said."""


def buffer_kib(recorders: int) -> int:
    """The kernel's buffer for each of so many recorders."""
    return min(BUFFER_KIB, BUFFERS_KIB // max(1, recorders))


class Recording:
    """The captures of one network, running from ``start`` to ``stop``.

    There is one of a run: its folder is taken when it is made. Raises FileExistsError for a second one.
    """

    def __init__(self, network: EmulatedNetwork) -> None:
        self._network = network
        self._folder = network.run_folder / CAPTURE
        self._folder.mkdir()
        self._processes: list[ManagedProcess] = []

    def start(self) -> None:
        """Start to record every link and return when all recorders listen; none is left where that does not come about."""
        try:
            self._start_all()
        except BaseException:
            self._end_all()  # one that does not listen yet answers nobody
            raise

    def _start_all(self) -> None:
        with self._network.progress.step("recording of every link"):
            ends = self._network.model.captured_ends()
            for node, interface in ends:
                # The routing root's tcpdump, since a host's own may be confined, or refuse the one user there is.
                # From in there the run's folder is seen through the root of the sandbox's first process.
                file = f"/proc/1/root{self._folder.resolve()}/{node}:{interface}.pcap"
                argv = [
                    "chroot", str(self._network.routing_root), "tcpdump", "--interface", interface,
                    "--snapshot-length", str(SNAPSHOT_BYTES), "--time-stamp-precision=nano", "--no-promiscuous-mode",
                    "-B", str(buffer_kib(len(ends))), "-n", "-Z", "root", "-w", file,
                    "-U",  # packet by packet into the file: somebody may be following it
                    *self._filter(node, interface),
                ]  # fmt: skip
                self._processes.append(self._network.processes.start(f"tcpdump-{interface}", node, argv))
            for process in self._processes:
                self._network.processes.wait_for_log(process, r"listening on", START_DEADLINE_S)

    def _filter(self, node: str, interface: str) -> tuple[str, ...]:
        """Which packets are recorded there; empty: all."""
        model = self._network.model
        if len(model.radios) < MANY_RADIOS or interface not in {radio.interface for radio in model.radios_of(node)}:
            return ()
        own = self._network.namespace(node).state(interface).hardware_address
        return (f"not ({_TO_ROUTERS[model.family]}) or ether src {own}",)

    def stop(self) -> dict[str, int]:
        """Stop all recorders; returns packets dropped by the kernel, by interface, where there were any.

        A recorder that is just stopped loses what the kernel has buffered for it, up to a second of packets. So each is
        asked for its counts until it has written all that its filter received. The traffic must have ended before.
        """
        # Only the recorders matter here: another process that has died is why a run may be over.
        eventually("the recorders to have written everything", self._written, WRITTEN_DEADLINE_S)
        return self._end_all()

    def _end_all(self) -> dict[str, int]:
        dropped: dict[str, int] = {}
        for process in self._processes:
            self._network.processes.stop(process)
            said = process.log.read_text(errors="replace") if process.log else ""
            lost = sum(int(number) for number, _ in _DROPPED.findall(said))
            if lost:
                dropped[f"{process.node}:{process.name.removeprefix('tcpdump-')}"] = lost
        self._processes.clear()
        return dropped

    def _written(self) -> tuple[bool, str]:
        """Whether each recorder has written as many packets as its filter had received when it first answered."""
        behind: list[str] = []
        for process in self._processes:
            said = process.log.read_text(errors="replace") if process.log else ""
            counts = [(int(captured), int(received)) for captured, received in _COUNTS.findall(said)]
            if not counts or counts[-1][0] < counts[0][1]:
                behind.append(f"{process.name}: {counts[-1][0] if counts else 'no answer'}")
            if process.running:
                process.popen.send_signal(signal.SIGUSR1)
        return not behind, f"packets written: {', '.join(behind)}" if behind else "all written"


def merge(run_folder: Path) -> Path:
    """Join the run's captures and steps into ``lab.pcapng``; returns its path."""
    _captures("merge", str(run_folder), size=sum(file.stat().st_size for file in (run_folder / CAPTURE).iterdir()))
    return run_folder / "lab.pcapng"


def write_timeline(run_folder: Path) -> None:
    """Write the run's whole history, ``timeline.jsonl``."""
    _captures("timeline", str(run_folder), size=_size(run_folder))


def write_report(run_folder: Path) -> Path:
    """Make the run's page, ``report.html``; returns its path."""
    _captures("report", str(run_folder), size=_size(run_folder))
    return run_folder / "report.html"


def draw(model: Lab, sending: Collection[str] = ()) -> str:
    """The model as SVG. ``sending``: interfaces, ``node:interface``, that send a stream: their links are picked out."""
    words = [word for interface in sorted(sending) for word in ("--sending", interface)]
    return _captures("draw", "-", *words, given=model.to_json())


def judge(pcapng: Path) -> dict[str, Any]:
    """What the judge says of a capture, as its JSON says it."""
    said = _captures("judge", str(pcapng), "--json", accepted=(0, 1), size=pcapng.stat().st_size)
    try:
        verdict = json.loads(said)
    except ValueError:
        raise RecordingError(f"the judge of {pcapng} did not answer in JSON: {said[:400]}") from None
    if not isinstance(verdict, dict):
        raise RecordingError(f"the judge of {pcapng} answered with no object: {said[:400]}")
    return verdict


def _size(run_folder: Path) -> int:
    """Of the run's capture, octets; 0 where there is none."""
    pcapng = run_folder / "lab.pcapng"
    return pcapng.stat().st_size if pcapng.exists() else 0


def _captures(*arguments: str, accepted: tuple[int, ...] = (0,), size: int = 0, given: str = "") -> str:
    """Run a command of the captures package that reads so many octets. Raises RecordingError."""
    # Behind everything else: another lab may be measuring on this machine.
    argv = ["nice", "-n", "5", *our_program("captures", *arguments)]
    deadline_s = TOOL_DEADLINE_S + TOOL_DEADLINE_S_PER_MB * size / 1e6
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            input=given,
            env=program_environment(),
        )
    except subprocess.TimeoutExpired:
        raise RecordingError(f"captures {arguments[0]} gave no answer for {deadline_s:.0f} s") from None
    if done.returncode not in accepted:
        said = (done.stderr or done.stdout).strip()
        raise RecordingError(f"captures {' '.join(arguments)} ended with status {done.returncode}: {said}")
    return done.stdout
