"""SRTP as RFC 3711 says it, with nothing of libsrtp: a second witness of what the media processes send and take."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

TAG_SIZE = 10
HEADER_SIZE = 12


def _key_stream(key: bytes, counter: int, data: bytes) -> bytes:
    """AES in counter mode from a counter of 128 bits [4.1.1]."""
    return Cipher(AES(key), CTR(counter.to_bytes(16, "big"))).encryptor().update(data)


def derived(key: bytes) -> tuple[bytes, bytes, int]:
    """Keys of encryption and authentication, and the salt, of 30 octets of master key and salt [4.3, rate 0]."""
    master, salt = key[:16], int.from_bytes(key[16:30], "big")
    encryption, authentication, session_salt = (
        _key_stream(master, (salt ^ label << 48) << 16, bytes(size)) for label, size in ((0, 16), (1, 20), (2, 14))
    )
    return encryption, authentication, int.from_bytes(session_salt, "big")


def _ciphered(key: bytes, packet: bytes, counter: int) -> bytes:
    encryption, _, salt = derived(key)
    index = counter << 16 | int.from_bytes(packet[2:4], "big")
    vector = salt << 16 ^ int.from_bytes(packet[8:12], "big") << 64 ^ index << 16
    return packet[:HEADER_SIZE] + _key_stream(encryption, vector, packet[HEADER_SIZE:])


def _tag(key: bytes, packet: bytes, counter: int) -> bytes:
    return hmac.digest(derived(key)[1], packet + counter.to_bytes(4, "big"), "sha1")[:TAG_SIZE]


def sealed(key: bytes, packet: bytes, counter: int) -> bytes:
    """The SRTP packet of an RTP packet that has no contributing sources and no extension."""
    ciphered = _ciphered(key, packet, counter)
    return ciphered + _tag(key, ciphered, counter)


def opened(key: bytes, packet: bytes, counter: int) -> bytes | None:
    """The RTP packet, or None where the tag is another."""
    body, tag = packet[:-TAG_SIZE], packet[-TAG_SIZE:]
    return _ciphered(key, body, counter) if hmac.compare_digest(_tag(key, body, counter), tag) else None
