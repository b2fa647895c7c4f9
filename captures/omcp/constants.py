"""Where OMCP's messages are found, and how they follow each other on a connection."""

from captures.protocol import Framing

OMCP_PORT = 24794  # [D O-2]
HEADER_OCTETS = 16
MESSAGE_MAX_OCTETS = 64 * 1024

FRAMING = Framing(length_at=4, length_octets=4, prefix_octets=0, smallest=HEADER_OCTETS, largest=MESSAGE_MAX_OCTETS)
"""A message's own Length tells where the next one begins."""
