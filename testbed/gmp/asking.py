"""What GMP's roles and their receivers say of themselves when they are asked by their control sockets."""

from __future__ import annotations

from typing import Any

from testbed.run.roles import RoleError, RunningRole

Fields = dict[str, Any]


def described(role: RunningRole) -> Fields:
    """What a role of ours says of itself in brief; raises RoleError."""
    state = role.ask("state")["state"]
    if not isinstance(state, dict):
        raise RoleError(f"{role.name}: its state is {state!r}")
    return state


def received(role: RunningRole, begin_ns: int, end_ns: int) -> Fields:
    """What a receiver counted between two times, or {"error": why that is not known}."""
    if not role.is_ours:
        return {"error": "the receiver is an external command"}
    try:
        window = role.ask("window", begin_ns=begin_ns, end_ns=end_ns)["window"]
    except RoleError as error:
        return {"error": str(error)}
    return window if isinstance(window, dict) else {"error": f"it answered {window!r}"}
