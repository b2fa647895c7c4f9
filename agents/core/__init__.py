"""What every protocol's roles share: the agent interface, timers, TLV walk, errors, counters and state machines.

Nothing in here does input or output. Time is a ``now`` argument in seconds on a clock that never goes back.
"""
