"""The data plane: a multicast RTP source and a receiver that measures what arrives (RFC 3550; MPEG-TS as RFC 2250).

``rtp`` packets and sequence arithmetic · ``arrivals`` what a receiver remembers and the windows it measures ·
``transport_stream`` the pace of an MPEG-TS file · ``source`` and ``receiver`` the two processes.
"""
