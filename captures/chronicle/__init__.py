"""Everything that happened in a run, on one clock: frames, data, steps, agents' traces, daemons' logs."""
