"""What MMCP has in the testbed."""

from testbed.mmcp import simulate
from testbed.protocol import Protocol

PROTOCOL = Protocol("mmcp", simulations=(simulate.HANDOVER,))
