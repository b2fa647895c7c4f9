"""The rules, one function per clause: a capture's timeline in, verdicts with frame numbers out."""

from captures.rules import handover, membership, monitoring, session, stream
from captures.rules.verdict import RULES, Case, Rule, Verdict

__all__ = ["RULES", "Case", "Rule", "Verdict", "handover", "membership", "monitoring", "session", "stream"]
