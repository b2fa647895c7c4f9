"""The message ladder: participants side by side, messages and steps in order of time."""
