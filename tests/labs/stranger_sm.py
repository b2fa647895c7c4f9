"""A session manager by a stranger: knows nothing of this project but the wire, and serves what its TOML file says.

`python stranger_sm.py CONFIG`. It admits everybody, and ignores what it does not know.
"""

import socket
import sys
import tomllib
from ipaddress import ip_address
from pathlib import Path


def parameter(code: int, value: bytes) -> bytes:
    return bytes([code, 0]) + (4 + len(value)).to_bytes(2, "big") + value


def address(code: int, text: str, port: int) -> bytes:
    return parameter(code, port.to_bytes(2, "big") + ip_address(text).packed)


def main() -> None:
    told = tomllib.loads(Path(sys.argv[1]).read_text())
    session = told["sessions"][0]
    family = socket.AF_INET6 if ":" in told["address"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as port:
        port.bind((told["address"], 24793))
        while True:
            data, peer = port.recvfrom(2048)
            if data[0] != 1:
                continue
            body = address(3, session["group"], session["port"])
            for controller in told["controllers"]:
                if any(point.encode() in data[8:] for point in controller["points_of_attachment"]):
                    body += address(4, controller["address"], 24793)
            port.sendto(b"\x02\x01" + (8 + len(body)).to_bytes(2, "big") + data[4:8] + body, peer)


if __name__ == "__main__":
    main()
