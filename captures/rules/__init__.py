"""The rules, one function per clause: a capture's timeline in, verdicts with frame numbers out."""

from captures.mmcp.rules import children, handover, join, leave, membership, monitoring, session, silence, stream
from captures.rules.verdict import RULES, Case, Rule, Verdict

# Judgements list the rules in the order in which a session goes.
_ORDER = [
    module.__name__ for module in (session, join, leave, handover, stream, monitoring, children, silence, membership)
]
RULES.sort(key=lambda rule: _ORDER.index(rule.function.__module__))

__all__ = [
    "RULES",
    "Case",
    "Rule",
    "Verdict",
    "children",
    "handover",
    "join",
    "leave",
    "membership",
    "monitoring",
    "session",
    "silence",
    "stream",
]
