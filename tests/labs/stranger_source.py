"""A stranger's source: `stranger_source.py CONFIG TTL [BURST PAUSE]` sends RTP, a thousand packets/s, all the time or in bursts.

BURST packets, then nothing for PAUSE seconds.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
import tomllib
from pathlib import Path

SPACING_S = 0.001

configuration = tomllib.loads(Path(sys.argv[1]).read_text())
hop_limit = int(sys.argv[2])
burst = int(sys.argv[3]) if len(sys.argv) > 3 else 0
pause_s = float(sys.argv[4]) if burst else 0.0
index = socket.if_nametoindex(configuration["interface"])
if ":" in configuration["group"]:
    sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hop_limit)
else:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hop_limit)
number, due = 0, time.monotonic()
while True:
    header = struct.pack("!BBHII", 0x80, 96, number & 0xFFFF, number * 90 & 0xFFFFFFFF, 7)
    sender.sendto(header + bytes(188), (configuration["group"], configuration["port"]))
    number += 1
    due += SPACING_S
    if burst and number % burst == 0:
        due += pause_s
    time.sleep(max(0.0, due - time.monotonic()))
