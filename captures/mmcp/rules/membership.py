"""What every IGMP and MLD message has in common."""

from __future__ import annotations

from collections.abc import Iterator

from captures.rules.findings import Finding
from captures.rules.verdict import Case, rule

_SHOWN = 20  # frame numbers of a rule that every message of a broken node would fail


@rule("membership-hop-limit", "RFC 3376 4, RFC 3810 5")
def membership_hop_limit(case: Case) -> Iterator[Finding]:
    """IGMP messages have TTL 1 and MLD messages hop limit 1, on every link."""
    messages = case.timeline.memberships
    wrong = [message for message in messages if message.hop_limit != 1]
    if wrong:
        first = wrong[0]
        yield Finding(
            "the capture",
            "failed",
            f"{len(wrong)} of {len(messages)} IGMP or MLD messages have another TTL or hop limit than 1: the first is a"
            f" {first.message.version} {first.message.kind} of {first.source} with {first.hop_limit} at"
            f" {first.interface}",
            tuple(message.number for message in wrong[:_SHOWN]),
        )
    elif messages:
        yield Finding("the capture", "passed", f"{len(messages)} IGMP and MLD messages, all with TTL or hop limit 1")


@rule("source-specific-join", "D M-6", "handover")
def source_specific_join(case: Case) -> Iterator[Finding]:
    """Where the group is a source-specific one, every IGMP or MLD join of MNs and LMCs names its source, and no other."""
    parameters = case.parameters
    if parameters.source is None:
        return
    senders = [(lmc.name, lmc.interface, [lmc.address]) for lmc in parameters.lmcs]
    senders += [(mn.name, mn.interface, list(mn.addresses.values())) for mn in parameters.mns]
    for name, interface, addresses in senders:
        joins = [
            (report, sources)
            for report in case.timeline.reports_of(interface, addresses)
            for group, sources in zip(report.message.joins, report.message.sources, strict=False)
            if group == parameters.group
        ]
        wrong = [(report, sources) for report, sources in joins if sources != (parameters.source,)]
        if wrong:
            _, sources = wrong[0]
            text = (
                f"{name} joined {parameters.group} from {', '.join(sources) or 'any source'}, not {parameters.source}"
            )
            yield Finding(name, "failed", text, tuple(report.number for report, _ in wrong[:_SHOWN]))
        elif joins:
            text = f"{name} joined {parameters.group} from {parameters.source}, {len(joins)} times"
            yield Finding(name, "passed", text, (joins[0][0].number,))
        else:
            yield Finding(name, "unseen", f"{name} was never seen to join {parameters.group}")
