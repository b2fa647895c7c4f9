"""The data plane: a multicast RTP source and a receiver that measures what arrives (RFC 3550; MPEG-TS as RFC 2250).

``rtp`` packets and sequence arithmetic · ``arrivals`` what a receiver remembers and the windows it measures · ``delivery`` each
packet once · ``transport_stream`` the pace of an MPEG-TS file · ``srtp`` both ends of SRTP (RFC 3711) under keys that change ·
``orders`` those of a role, which say where to, when, and under which key · ``source`` and ``receiver`` the two processes.
"""
