"""GMP, the Group Management Protocol (ITU-T X.602): sessions that people create, find, register for, join and leave.

A server has two modules: SM manages sessions, MM watches who is in them. Its clients are a session's creator and its
participants. Clauses are those of X.602; ``G-n`` are the decisions of this project's page where the standard is silent or
contradicts itself, ``GI-n`` those of this implementation: see ``decisions``. ``protocol`` has the record of the room.
"""
