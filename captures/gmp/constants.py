"""Where GMP's messages are found, and how they follow each other on a connection."""

from captures.protocol import Framing

GMP_SM_PORT = 16513  # [D G-3]
GMP_MM_PORT = 16514

FRAMING = Framing(length_at=0, length_octets=2, prefix_octets=2, smallest=0, largest=0xFFFF)
"""Over TCP the length of each message stands before it [D G-2]."""
