"""What GMP has in the testbed."""

from testbed.gmp import places
from testbed.protocol import Protocol

PROTOCOL = Protocol("gmp", roles=places.role_names)
