"""Rules that are not asked of a lab whose routers cannot give what they look at: those with static routes, or slow ones."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.routing.router import Ability, Router

_LOOKING_AT: dict[Ability, tuple[str, ...]] = {
    "cold": (),  # each handover says itself whether its cell was cold
    "on-demand": ("mmcp-leave-ends-stream", "mmcp-data-waits-for-mn", "mmcp-no-data-when-refused"),
    "prompt": ("mmcp-leave-ends-stream",),
}


def rules_left_out(routers: Iterable[Router]) -> dict[str, str]:
    """Names of the rules, each with the reason."""
    return {
        rule: reason for router in routers for ability, reason in router.cannot.items() for rule in _LOOKING_AT[ability]
    }
