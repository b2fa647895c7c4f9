"""What this machine can do for a lab, and the remedy for what it cannot.

Every answer comes from trying, not from reading version numbers: `sandbox_probe.py` runs once in namespaces like a lab's
own and uses what a lab uses. The host's network and settings are not touched, and it all takes well under a second.

    examine()                        every check, for `python -m testbed doctor`
    require("veth", "pimd", …)       what a lab calls before it starts: one error, with the remedy, for the first lack
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import click

from testbed.host.sandbox import needs_user_namespace, user_namespaces_refused
from testbed.setup import NotSetUpError, routing_root

PROBE = Path(__file__).resolve().parent / "sandbox_probe.py"

NAMESPACES = ("net", "mount", "pid", "uts", "ipc")
"""As unshare(1) names the namespaces a lab has of its own."""

PROBE_TIMEOUT_S = 15.0
"""For everything that is tried in the sandbox together; it takes 0.2 s where all is well."""

NOBODY = 65534

SET_UP = "run `make setup`"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing this machine can or cannot do.

    name: as `require` takes it.  ok: it works.  found: what was seen when it was tried.
    remedy: what to do about a lack, empty if ok.  needed_for: who misses it.  needed: no lab runs properly without it.
    """

    name: str
    ok: bool
    found: str
    remedy: str
    needed_for: str
    needed: bool


class LackError(RuntimeError):
    """This machine lacks something a lab needs; the text says what, what was found and the remedy."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is known of a check before anything was tried."""

    needed_for: str
    remedy: str
    needed: bool = True


def _kernel(option: str, module: str = "") -> str:
    """Say how to get a feature of the kernel."""
    remedy = f"run a kernel built with {option}"
    return f"{remedy}; if it is a module, `sudo modprobe {module}`" if module else remedy


SUBJECTS: dict[str, _Subject] = {
    "unshare": _Subject("every lab: nothing may be left behind", "install util-linux 2.32 or later"),
    "namespaces": _Subject(
        "every lab: a network of its own", "run as root, outside of containers that refuse namespaces"
    ),
    "user-namespaces": _Subject("labs of ordinary users", "allow user namespaces, or run labs as root"),
    "sandbox-sysctl": _Subject(
        "every lab: forwarding, rp_filter", "run where /proc/sys is writable in a network namespace"
    ),
    "sandbox-tmpfs": _Subject(
        "every lab: a /run of its own", "run where file systems may be mounted in a mount namespace"
    ),
    "ipv4-multicast-routing": _Subject(
        "labs with FAMILY=4", _kernel("CONFIG_IP_MROUTE=y and CONFIG_IP_PIMSM_V2=y (as Debian's and Ubuntu's are)")
    ),
    "ipv6": _Subject("labs with FAMILY=6", "start the kernel without ipv6.disable=1 and with CONFIG_IPV6"),
    "ipv6-multicast-routing": _Subject(
        "labs with FAMILY=6", _kernel("CONFIG_IPV6_MROUTE=y and CONFIG_IPV6_PIMSM_V2=y (as Debian's and Ubuntu's are)")
    ),
    "veth": _Subject("every lab: links", _kernel("CONFIG_VETH", "veth")),
    "bridge": _Subject("every lab: points of attachment", _kernel("CONFIG_BRIDGE", "bridge")),
    "ethtool": _Subject("every lab: checksum offload", SET_UP),
    "mininet": _Subject("every lab: hosts and links", SET_UP),
    "mnexec": _Subject("every lab: hosts and links", SET_UP),
    "routing-root": _Subject("every lab: routing daemons", SET_UP),
    "tcpdump": _Subject("every lab: captures", "remove .lab and " + SET_UP),
    "zebra": _Subject("labs with FRR", "remove .lab and " + SET_UP),
    "mgmtd": _Subject("labs with FRR", "remove .lab and " + SET_UP),
    "pimd": _Subject("labs with FRR and FAMILY=4", "remove .lab and " + SET_UP),
    "pim6d": _Subject("labs with FRR and FAMILY=6", "remove .lab and " + SET_UP),
    "ospfd": _Subject("labs with OSPF and FAMILY=4", "remove .lab and " + SET_UP, needed=False),
    "ospf6d": _Subject("labs with OSPF and FAMILY=6", "remove .lab and " + SET_UP, needed=False),
    "smcroute": _Subject("labs with static multicast routes", "remove .lab and " + SET_UP, needed=False),
    "troglobit-pimd": _Subject("labs with pimd", "remove .lab and " + SET_UP, needed=False),
    "nft": _Subject(
        "links that lose, double or delay packets",
        _kernel("CONFIG_NFT_FWD_NETDEV, CONFIG_NFT_DUP_NETDEV and CONFIG_NFT_NUMGEN", "nft_fwd_netdev"),
        needed=False,
    ),
    "tbf": _Subject("links with a rate", _kernel("CONFIG_NET_SCH_TBF", "sch_tbf"), needed=False),
    "netem": _Subject(
        "links that delay by any time, and reorder", _kernel("CONFIG_NET_SCH_NETEM", "sch_netem"), needed=False
    ),
    "taps": _Subject(
        "links that delay by whole milliseconds where there is no netem",
        "give this user access to /dev/net/tun (a kernel with CONFIG_TUN has it, mode 0666)",
        needed=False,
    ),
    "wirefilter": _Subject("as taps", "remove .lab and " + SET_UP, needed=False),
    "ipip": _Subject("tunnels", _kernel("CONFIG_NET_IPIP", "ipip"), needed=False),
    "gre": _Subject("tunnels", _kernel("CONFIG_NET_IPGRE", "ip_gre"), needed=False),
    "vlan": _Subject("VLANs", _kernel("CONFIG_VLAN_8021Q", "8021q"), needed=False),
    "wireless": _Subject(
        "simulated radios; PoAs are bridges", _kernel("CONFIG_MAC80211_HWSIM", "mac80211_hwsim"), needed=False
    ),
    "openvswitch": _Subject(
        "OpenFlow switches; PoAs are Linux bridges",
        "sudo apt-get install openvswitch-switch, and " + _kernel("CONFIG_OPENVSWITCH", "openvswitch"),
        needed=False,
    ),
}
"""Every check there is, in the order in which a lack is reported."""

_SANDBOXED = (
    "sandbox-sysctl", "sandbox-tmpfs", "ipv4-multicast-routing", "ipv6", "ipv6-multicast-routing", "veth", "bridge", "mnexec",
    "tcpdump", "zebra", "mgmtd", "pimd", "pim6d", "ospfd", "ospf6d", "smcroute", "troglobit-pimd",
    "nft", "tbf", "netem", "taps", "wirefilter", "ipip", "gre", "vlan",
)  # fmt: skip
_OF_THE_ROUTING_ROOT = frozenset({
    "tcpdump", "zebra", "mgmtd", "pimd", "pim6d", "ospfd", "ospf6d", "smcroute", "troglobit-pimd",
    "nft", "tbf", "netem", "wirefilter",
})  # fmt: skip


class _Answer(NamedTuple):
    ok: bool
    found: str
    remedy: str = ""
    """A better one than the subject's, if there is one."""


def _works(found: str) -> _Answer:
    return _Answer(ok=True, found=found)


def _lacks(found: str, remedy: str = "") -> _Answer:
    return _Answer(ok=False, found=found, remedy=remedy)


def examine(names: Sequence[str] = tuple(SUBJECTS)) -> list[Check]:
    """Try what the checks named are about and return them in the order of SUBJECTS.

    Raises ValueError for a name that is no check's.
    """
    unknown = sorted(set(names) - set(SUBJECTS))
    if unknown:
        raise ValueError(f"no such check: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    answers = dict(_answers(set(names)))
    checks = []
    for name, subject in SUBJECTS.items():
        if name in answers:
            answer = answers[name]
            remedy = "" if answer.ok else answer.remedy or subject.remedy
            needed = subject.needed and (name != "user-namespaces" or needs_user_namespace())
            checks.append(Check(name, answer.ok, answer.found, remedy, subject.needed_for, needed))
    return checks


def require(*names: str) -> None:
    """Raise LackError for the first of the checks named that fails; a lab calls this before it builds anything.

    The namespaces every lab lives in are checked in any case. Raises ValueError for a name that is no check's.
    """
    for check in examine(("unshare", "namespaces", *names)):
        if not check.ok:
            raise LackError(
                f"this machine lacks {check.name} (for {check.needed_for}): {check.found}. Remedy: {check.remedy}. "
                "`python -m testbed doctor` shows everything."
            )


def _answers(names: set[str]) -> Iterator[tuple[str, _Answer]]:
    # Mininet takes longest: it is imported while everything else is tried.
    mininet = subprocess.Popen(
        [sys.executable, "-I", "-c", "import mininet.net as net; print(f'{net.VERSION} ({net.__file__})')"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) if "mininet" in names else None  # fmt: skip
    try:
        if "unshare" in names:
            yield "unshare", _unshare()
        if "user-namespaces" in names:
            yield "user-namespaces", _user_namespaces()
        if "ethtool" in names:
            yield "ethtool", _command("ethtool")
        if "wireless" in names:
            yield "wireless", _module("mac80211_hwsim")
        if "openvswitch" in names:
            yield "openvswitch", _openvswitch()
        yield from _sandboxed(names)
        if mininet:
            said, complaint = mininet.communicate(timeout=PROBE_TIMEOUT_S)
            if mininet.returncode == 0:
                yield "mininet", _works(said.strip())
            else:
                last_line = (complaint.strip().splitlines() or ["no output"])[-1]
                yield "mininet", _lacks(f"{sys.executable}: {last_line}")
    finally:
        if mininet and mininet.poll() is None:
            mininet.kill()
            mininet.wait()


def _sandboxed(names: set[str]) -> Iterator[tuple[str, _Answer]]:
    """Answer everything that takes namespaces, the routing daemons included."""
    tried = [name for name in _SANDBOXED if name in names]
    root: Path | None = None
    try:
        root = routing_root()
        if "routing-root" in names:
            yield "routing-root", _works(str(root))
    except NotSetUpError as error:
        for name in ({"routing-root"} | _OF_THE_ROUTING_ROOT) & names:
            yield name, _lacks(str(error), SET_UP)
        tried = [name for name in tried if name not in _OF_THE_ROUTING_ROOT]
    if not tried and "namespaces" not in names:
        return
    # -S and -I: neither the environment's packages nor the caller's settings matter to the probe.
    done = _try([*_unshare_command(NAMESPACES), sys.executable, "-I", "-S", str(PROBE), str(root or ""), *tried])
    if done.returncode == 0:
        if "namespaces" in names:
            yield "namespaces", _works(", ".join(NAMESPACES))
        for name, (ok, found) in json.loads(done.stdout).items():
            yield name, _Answer(ok=ok, found=found)
        return
    refusal = _refusal(done)
    if "namespaces" in names:
        yield "namespaces", refusal
    for name in tried:
        yield name, _lacks("not tried, for lack of namespaces", "as for namespaces")


def _refusal(done: subprocess.CompletedProcess[str]) -> _Answer:
    """Find out which namespace is refused, and if known the remedy."""
    if needs_user_namespace() and (answer := _refusing_sysctl()):
        return answer
    refused = [kind for kind in NAMESPACES if _try([*_unshare_command([kind]), "true"]).returncode]
    return _lacks(f"{'refused: ' + ', '.join(refused) + '; ' if refused else ''}{_last_words(done)}")


def _refusing_sysctl() -> _Answer | None:
    found, _, remedy = (user_namespaces_refused() or "").partition(": ")
    return _lacks(found, remedy) if found else None


def _unshare_command(kinds: Sequence[str], *, user: bool | None = None) -> list[str]:
    mapped = needs_user_namespace() if user is None else user
    return [
        "unshare", *(["--user", "--map-root-user"] if mapped else []), *(f"--{kind}" for kind in kinds),
        *(["--fork", "--kill-child", "--mount-proc"] if "pid" in kinds and "mount" in kinds else []), "--",
    ]  # fmt: skip


def _try(argv: Sequence[str], user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, as another user if one is given; a command that hangs or is missing counts as failed."""
    try:
        return subprocess.run(
            argv, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL, timeout=PROBE_TIMEOUT_S, cwd="/",
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout).strip()
    return said.splitlines()[-1] if said else f"exit status {done.returncode}"


def _unshare() -> _Answer:
    if "--kill-child" not in _try(["unshare", "--help"]).stdout:
        return _lacks("unshare has no --kill-child" if shutil.which("unshare") else "no unshare on PATH")
    return _works(_last_words(_try(["unshare", "--version"])))


def _user_namespaces() -> _Answer:
    """Try as an ordinary user: as nobody if this is root, for whom nothing is refused."""
    as_root = os.geteuid() == 0
    done = _try([*_unshare_command(NAMESPACES, user=True), "true"], NOBODY if as_root else None)
    if done.returncode == 0:
        return _works("ordinary users may make them")
    return _refusing_sysctl() or _lacks(_last_words(done))


def _command(name: str) -> _Answer:
    """Look where a lab looks: an ordinary user's PATH on Debian leaves out the administrator's folders."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        return _lacks(f"no command {name}")
    done = _try([path, "--version"])
    if done.returncode:
        return _lacks(f"{path}: {_last_words(done)}")
    return _works(f"{path}: {(done.stdout or done.stderr).splitlines()[0]}")


def _module(name: str) -> _Answer:
    """Tell whether a kernel module is loaded, built in or could be loaded, without loading it."""
    if Path("/sys/module", name).exists():
        return _works(f"{name} is loaded")
    folder = Path("/lib/modules", os.uname().release)
    for listing in ("modules.builtin", "modules.dep"):
        try:
            if f"/{name}.ko" in (folder / listing).read_text(encoding="utf-8"):
                return _works(f"{name} is there to be loaded (in {folder / listing})")
        except OSError:
            continue
    return _lacks(f"this kernel ({os.uname().release}) has no module {name}")


def _openvswitch() -> _Answer:
    answer = _module("openvswitch")
    return answer if not answer.ok or shutil.which("ovs-vsctl") else _lacks(f"{answer.found}, but no ovs-vsctl")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of checks.")
def command(*, as_json: bool) -> None:
    """Show what this machine can do for a lab, and the remedy for each lack.

    Exit status 0 if everything a lab needs is there, 1 if not.
    """
    checks = examine()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _print(checks)
    sys.exit(0 if all(check.ok for check in checks if check.needed) else 1)


def _print(checks: Sequence[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        word, colour = ("ok", "green") if check.ok else ("LACKS", "red") if check.needed else ("-", "yellow")
        click.echo(f"{click.style(f'{word:5}', fg=colour)}  {check.name:{width}}  {check.found}")
        if not check.ok:
            click.echo(f"{'':{7 + width}}  for {check.needed_for}: {check.remedy}")
    lacks = [check.name for check in checks if check.needed and not check.ok]
    click.echo()
    if lacks:
        click.secho(f"Labs cannot run properly here: {', '.join(lacks)}.", fg="red")
    else:
        click.echo("Labs can run here. A line with - is something only some labs of other kinds would use.")
