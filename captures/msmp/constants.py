"""Where MSMP's messages are found, and how they follow each other on a connection."""

from captures.protocol import Framing

MSMP_PORT = 24792

FRAMING = Framing(length_at=0, length_octets=4, prefix_octets=4, smallest=0, largest=0xFFFF)
"""Between servers a length of 32 bits stands before each message, whose own Length has 16."""
