"""The world: labs as data, private namespaces to build them in, real routing daemons and links to build them from.

``net.model`` is a lab before it is processes; ``host`` gives it namespaces of its own and watches its processes; ``net``
builds it there; ``routing`` starts its routers; ``run`` takes it from the empty sandbox to the result; ``sim`` runs the same
roles in virtual time. Each protocol has a room of its own, see ``protocols``.
"""

from pkgutil import extend_path

# A folder named in PYTHONPATH may bring the room of a protocol, testbed/<name>.
__path__ = extend_path(__path__, __name__)
