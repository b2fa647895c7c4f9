"""How a link comes to be what it is asked to be: by which mechanism, and in which words for nftables, tc and wirefilter.

A wire that is not perfect runs through the sandbox, where its two directions are each a thing of its own:

    node ── near ══ nftables: loses, doubles, hands on ══▶ (tap ── wirefilter ── tap) ══▶ tc: rate, or netem: all ── far ── node

netem does everything where the kernel has it. Where not, nftables loses and doubles, a token bucket limits the rate, and
VDE's wirefilter between two taps delays; what none of them can do is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.net.model import PERFECT, Lab, ModelError, Quality
from testbed.net.wires import wires

_PARTS_OF = 1_000_000
"""In how many parts nftables' random numbers divide one: shares are kept to a millionth."""

QUEUE_PACKETS = 1000
"""What waits before a rate where nothing else is asked, as at a Linux interface."""

_FRAME_OCTETS = 1514
_BUCKET_S = 0.002
"""How much of its rate a token bucket gives at once, at least one frame: less would make the timer decide the rate."""

_DELAYED_PACKETS = 100_000
"""What may be on its way on a link with a delay: 10 Gbit/s of full frames for 0.12 s."""

_NO_OVERTAKING = "100gbit"
"""netem keeps packets in order for as long as they have a rate; this is one that is never felt."""


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What this machine has for links that delay: netem in the kernel, wirefilter over taps (/dev/net/tun)."""

    netem: bool
    taps: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one direction of a wire is made: its quality and who does what. `delays`: through wirefilter."""

    quality: Quality
    netem: bool
    delays: bool

    @property
    def mechanism(self) -> str:
        """The mechanisms in words, for results."""
        quality, used = self.quality, []
        if self.netem:
            used.append("netem")
        if self.delays:
            used.append("wirefilter")
        if not self.netem and (quality.loss or quality.duplicate):
            used.append("nft")
        if quality.rate_bps is not None:
            used.append("tbf")
        return "+".join(used) or "none"


def plan(quality: Quality, mechanisms: Mechanisms, where: str) -> Plan:
    """How to make a direction of this quality here. Raises ModelError for what cannot be made, with the reason and remedy."""
    waits = quality.delay_s > 0 or quality.jitter_s > 0 or quality.reorder > 0
    for name in ("loss", "duplicate"):
        if 0 < getattr(quality, name) * _PARTS_OF < 1:
            raise ModelError(f"a {name} of less than {1 / _PARTS_OF:.4%}", where, "give more, or none")
    if not waits or mechanisms.netem:
        netem = mechanisms.netem and (waits or quality.loss > 0 or quality.duplicate > 0)
        return Plan(quality, netem, delays=False)
    if not mechanisms.taps:
        raise ModelError(
            "a delay, and this machine has neither netem nor taps",
            where,
            "run a kernel with CONFIG_NET_SCH_NETEM (or `sudo modprobe sch_netem`), or give this user access to "
            "/dev/net/tun; loss, duplicates and rates need neither",
        )
    if quality.reorder:
        raise ModelError(
            "reordering, and this kernel has no netem", where, "wirefilter keeps packets in order: see `doctor`, netem"
        )
    for name, seconds in (("delay", quality.delay_s), ("jitter", quality.jitter_s)):
        if abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
            raise ModelError(
                f"a {name} of {seconds * 1000:g} ms, and this kernel has no netem",
                where,
                "wirefilter counts whole milliseconds: round it, or see `doctor`, netem",
            )
    return Plan(quality, netem=False, delays=True)


def check(lab: Lab, mechanisms: Mechanisms) -> None:
    """Raises ModelError for the first link of a lab that cannot be made here."""
    for wire in wires(lab):
        for direction, quality in wire.directions:
            plan(quality, mechanisms, f"link {wire.name}, {direction}")


def nft_rules(table: str, plan: Plan, near: str, to: str, through: tuple[str, str] | None) -> str:
    """A transaction that makes `table` carry packets from `near` to `to`; `through`: the taps where it goes in and out."""
    rules = []
    quality = PERFECT if plan.netem else plan.quality
    into = through[0] if through else to
    if quality.loss:
        rules.append(f"{_by_chance(quality.loss)}counter drop")
    if quality.duplicate:
        rules.append(f'{_by_chance(quality.duplicate)}counter dup to "{into}"')
    rules.append(f'fwd to "{into}"')
    chains = [_chain("there", near, rules)]
    if through:
        chains.append(_chain("out", through[1], [f'fwd to "{to}"']))
    # Declared first, so that deleting it is no error when it is new: one transaction, in which no packet is lost.
    return f"table netdev {table}\ndelete table netdev {table}\ntable netdev {table} {{\n{''.join(chains)}}}\n"


def _by_chance(share: float) -> str:
    """What holds for a random share of packets; nftables does not take a share of all."""
    return "" if share == 1 else f"numgen random mod {_PARTS_OF} < {round(share * _PARTS_OF)} "


def _chain(name: str, device: str, rules: list[str]) -> str:
    body = "".join(f"  {rule}\n" for rule in rules)
    return f' chain {name} {{\n  type filter hook ingress device "{device}" priority 0;\n{body} }}\n'


def tc_lines(plan: Plan, device: str, *, had: bool) -> list[str]:
    """Commands for `tc -batch` that make `device` send as planned. `had`: it has queueing disciplines that go first."""
    quality = plan.quality
    lines = [f"qdisc del dev {device} root"] if had else []
    parent = "root"
    if plan.netem:
        words = [f"qdisc add dev {device} {parent} handle 1: netem limit {_DELAYED_PACKETS}"]
        if quality.delay_s:
            jitter = f" {_microseconds(quality.jitter_s)}" if quality.jitter_s else ""
            words.append(f"delay {_microseconds(quality.delay_s)}{jitter}")
        if quality.loss:
            words.append(f"loss random {quality.loss * 100:.6g}%")
        if quality.duplicate:
            words.append(f"duplicate {quality.duplicate * 100:.6g}%")
        if quality.reorder:
            words.append(f"reorder {quality.reorder * 100:.6g}%")
        elif quality.jitter_s:
            words.append(f"rate {_NO_OVERTAKING}")
        lines.append(" ".join(words))
        parent = "parent 1:1"
    if quality.rate_bps is not None:
        queue = quality.queue_packets or QUEUE_PACKETS
        # The bucket's own limit counts octets; packets are counted by the queue put into it.
        lines.append(
            f"qdisc add dev {device} {parent} handle 10: tbf rate {quality.rate_bps}bit burst {bucket_octets(quality.rate_bps)} "
            f"limit {queue * _FRAME_OCTETS}"
        )
        lines.append(f"qdisc add dev {device} parent 10:1 handle 20: pfifo limit {queue}")
    return lines


def bucket_octets(rate_bps: int) -> int:
    """How many octets may pass a rate at once."""
    return max(_FRAME_OCTETS, round(rate_bps / 8 * _BUCKET_S))


def has_queueing(plan: Plan) -> bool:
    """Whether `tc_lines` has something to say of this plan."""
    return plan.netem or plan.quality.rate_bps is not None


def wirefilter_delay(plan: Plan) -> str:
    """How wirefilter is told of its delay; it delays in one direction only, from its left plug to its right one."""
    return f"LR{round(plan.quality.delay_s * 1000)}+{round(plan.quality.jitter_s * 1000)}U"


def _microseconds(seconds: float) -> str:
    return f"{round(seconds * 1e6)}us"
