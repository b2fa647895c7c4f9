"""What every IGMP and MLD message has in common."""

from __future__ import annotations

from collections.abc import Iterator

from captures.rules.verdict import Case, Finding, rule

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
