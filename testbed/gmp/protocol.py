"""What GMP has in the testbed."""

from testbed.gmp import places, simulate
from testbed.protocol import Protocol

PROTOCOL = Protocol("gmp", simulations=(simulate.SIMULATION,), roles=places.role_names)
