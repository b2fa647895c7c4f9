"""The machine that labs run on: sandbox, doctor, processes."""
