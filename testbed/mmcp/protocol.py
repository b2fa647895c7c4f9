"""What MMCP has in the testbed."""

from testbed.mmcp import simulate, streaming
from testbed.protocol import Protocol

PROTOCOL = Protocol("mmcp", simulations=(simulate.HANDOVER,), roles=streaming.role_names)
