"""Tries things out inside a throw-away set of namespaces; `doctor.py` starts it there and reads its answer.

    python sandbox_probe.py ROUTING_ROOT NAME…     prints {NAME: [worked, what was found], …} as one JSON object

Run by path, it imports only the standard library, so that it starts fast and works before anything is set up. It must
never run outside: it adds links and a multicast router, which is harmless only in a network that vanishes with it.

No probe loads a kernel module itself. Asking for a link of some kind may make the kernel load that kind's module, if it
has one; that is what a lab's own request would do, and loading a module changes no network.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# linux/mroute.h, linux/mroute6.h
MRT_INIT = MRT6_INIT = 200
MRT_ADD_VIF = MRT6_ADD_MIF = 202
MRT_PIM = MRT6_PIM = 208
VIFF_REGISTER = 0x4
MIFF_REGISTER = 0x1
# struct vifctl: index, flags, TTL threshold, rate limit, local address, remote address
VIFCTL = struct.Struct("=HBBI4s4s")
# struct mif6ctl: index, flags, threshold, index of the physical interface, rate limit
MIF6CTL = struct.Struct("=HBBHxxI")

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFREQ = struct.Struct("16sH22x")

COMMAND_TIMEOUT_S = 5.0


class LackError(Exception):
    """What was tried did not work; the text says what was found instead."""


def run(*argv: str) -> str:
    """Return what a command printed, or raise LackError with its last words."""
    try:
        done = subprocess.run(
            argv, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL, timeout=COMMAND_TIMEOUT_S
        )
    except FileNotFoundError:
        raise LackError(f"no command {argv[0]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LackError(str(error)) from None
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise LackError(f"{' '.join(argv[:6])}: {said.splitlines()[-1] if said else f'exit status {done.returncode}'}")
    return said


def ipv4_multicast_routing() -> str:
    """Become the multicast router, with a PIM register interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as router:
        router.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
        router.setsockopt(socket.IPPROTO_IP, MRT_PIM, 1)
        register = VIFCTL.pack(0, VIFF_REGISTER, 1, 0, bytes(4), bytes(4))
        router.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, register)
    return "multicast router with PIM register interface"


def ipv6() -> str:
    """See ::1 on a loopback interface that is up."""
    run("ip", "link", "set", "lo", "up")
    try:
        addresses = Path("/proc/net/if_inet6").read_text(encoding="ascii")
    except FileNotFoundError:
        raise LackError("the kernel has no IPv6") from None
    if not any(line.split()[-1] == "lo" for line in addresses.splitlines()):
        raise LackError("no IPv6 address on an interface that is up")
    return "::1 on lo"


def ipv6_multicast_routing() -> str:
    """Become the multicast router for IPv6, with a PIM register interface."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        router.setsockopt(socket.IPPROTO_IPV6, MRT6_INIT, 1)
        router.setsockopt(socket.IPPROTO_IPV6, MRT6_PIM, 1)
        register = MIF6CTL.pack(0, MIFF_REGISTER, 1, 0, 0)
        router.setsockopt(socket.IPPROTO_IPV6, MRT6_ADD_MIF, register)
    return "multicast router with PIM register interface"


def sandbox_sysctl() -> str:
    """Write a setting of this network, as every lab does."""
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    setting.write_text("1", encoding="ascii")
    if setting.read_text(encoding="ascii").strip() != "1":
        raise LackError(f"{setting} does not keep what is written to it")
    return "net.ipv4.ip_forward is writable in a namespace"


def sandbox_tmpfs() -> str:
    """Mount an empty file system, as every lab does over /run."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", b"/run", b"tmpfs", ctypes.c_ulong(0), None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "tmpfs over /run"


def taps() -> str:
    """Make a tap."""
    with Path("/dev/net/tun").open("r+b", buffering=0) as tun:
        fcntl.ioctl(tun, TUNSETIFF, IFREQ.pack(b"probe-tap", IFF_TAP | IFF_NO_PI))
    return "/dev/net/tun"


def link(kind: str, *words: str) -> Callable[[], str]:
    """Return a probe that adds a link of a kind."""

    def probe() -> str:
        # A name of its own: the order of probes must not matter.
        run("ip", "link", "add", "name", f"probe-{kind}", *words)
        return f"link type {kind}"

    return probe


def netem() -> str:
    """Delay what leaves an interface."""
    run("chroot", sys.argv[1], "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    return "qdisc netem"


def tbf() -> str:
    """Limit the rate at which an interface sends."""
    run("ip", "link", "add", "name", "probe-rate", "type", "veth", "peer", "name", "probe-rate-peer")
    bucket = ("rate", "1mbit", "burst", "2000", "limit", "20000")
    run("chroot", sys.argv[1], "tc", "qdisc", "add", "dev", "probe-rate", "root", "tbf", *bucket)
    return "qdisc tbf"


def nft() -> str:
    """Lose, double and hand on what comes in at an interface."""
    rules = 'numgen random mod 1000000 < 1 drop; numgen random mod 1000000 < 1 dup to "lo"; fwd to "lo";'
    chain = f'chain probe {{ type filter hook ingress device "lo" priority 0; {rules} }}'
    run("chroot", sys.argv[1], "nft", f"table netdev probe {{\n{chain}\n}}")
    return "drop, dup and fwd in a chain of netdev"


def wirefilter() -> str:
    """See that it is in the routing root; it has no way to tell its version."""
    path = Path(sys.argv[1], "usr/bin/wirefilter")
    if not os.access(path, os.X_OK):
        raise LackError(f"no {path}")
    return str(path)


def mnexec() -> str:
    """Start a program as Mininet does, in a network of its own."""
    run("mnexec", "-n", "true")
    return shutil.which("mnexec") or "mnexec"


def daemon(path: str, *option: str) -> Callable[[], str]:
    """Return a probe that lets a routing daemon say its version, with the routing root as its root."""

    def probe() -> str:
        said = run("chroot", sys.argv[1], path, *option)
        return next((line for line in said.splitlines() if "ersion" in line or "v2" in line), said.splitlines()[0])

    return probe


def tcpdump() -> str:
    """Record a packet as a lab does: with the routing root's tcpdump, as the root of these namespaces."""
    run("ip", "link", "set", "lo", "up")
    # Neither waits for a second packet nor drops its rights: an ordinary user's namespace has nobody to become.
    argv = ("chroot", sys.argv[1], "tcpdump", "-i", "lo", "--immediate-mode", "-c", "1", "-Z", "root", "-w", "-", "udp")
    with (
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as recorder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        while recorder.poll() is None and time.monotonic() < deadline:
            sender.sendto(b"", ("127.0.0.1", 9))
            # Until it listens there is nothing to wait for but the next try.
            with contextlib.suppress(subprocess.TimeoutExpired):
                recorder.wait(0.01)
        recorder.kill()
        said = (recorder.stderr.read() if recorder.stderr else "").strip()
    if recorder.returncode:
        raise LackError(said.splitlines()[-1] if said else f"tcpdump ended with status {recorder.returncode}")
    return run("chroot", sys.argv[1], "tcpdump", "--version").splitlines()[0] + " recorded a packet"


PROBES: dict[str, Callable[[], str]] = {
    "sandbox-sysctl": sandbox_sysctl,
    "sandbox-tmpfs": sandbox_tmpfs,
    "ipv4-multicast-routing": ipv4_multicast_routing,
    "ipv6": ipv6,
    "ipv6-multicast-routing": ipv6_multicast_routing,
    "veth": link("veth", "type", "veth", "peer", "name", "probe-peer"),
    "bridge": link("bridge", "type", "bridge"),
    "mnexec": mnexec,
    "zebra": daemon("/usr/lib/frr/zebra", "--version"),
    "mgmtd": daemon("/usr/lib/frr/mgmtd", "--version"),
    "pimd": daemon("/usr/lib/frr/pimd", "--version"),
    "pim6d": daemon("/usr/lib/frr/pim6d", "--version"),
    "ospfd": daemon("/usr/lib/frr/ospfd", "--version"),
    "ospf6d": daemon("/usr/lib/frr/ospf6d", "--version"),
    "smcroute": daemon("/usr/sbin/smcrouted", "-v"),
    "troglobit-pimd": daemon("/usr/sbin/pimd", "-v"),
    "tcpdump": tcpdump,
    "taps": taps,
    "netem": netem,
    "tbf": tbf,
    "nft": nft,
    "wirefilter": wirefilter,
    "gre": link("gre", "type", "gre", "local", "192.0.2.1", "remote", "192.0.2.2"),
    "vlan": link("vlan", "link", "lo", "type", "vlan", "id", "5"),
    "ipip": link("ipip", "type", "ipip", "local", "192.0.2.1", "remote", "192.0.2.2"),
}


def main() -> None:
    """Run the probes named on the command line and print what each found."""
    answers: dict[str, tuple[bool, str]] = {}
    for name in sys.argv[2:]:
        try:
            answers[name] = (True, PROBES[name]())
        except LackError as lack:
            answers[name] = (False, str(lack))
        except OSError as error:
            answers[name] = (False, f"{error.strerror} ({errno.errorcode.get(error.errno or 0, 'no error number')})")
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    # An ordinary user's PATH on Debian leaves out the folders of ip, tc and chroot.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    main()
