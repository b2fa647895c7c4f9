"""Group keys are wrapped as the page says [G-18]: against vectors made by hand, and against what is no key."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from hypothesis import given
from hypothesis import strategies as st

from agents.gmp.keys import WrongKeyError, unwrap, wrap, wrapping_key

SECRET = bytes(range(32))
GROUP_KEY = bytes(range(100, 130))


def test_wrapping_key_is_hkdf_of_secret_session_and_user() -> None:
    """RFC 5869 for one block of output, written out: extract with the salt, expand with the info."""
    pseudorandom = hmac.digest(bytes.fromhex("0005 0003"), SECRET, hashlib.sha256)
    assert wrapping_key(SECRET, 5, 3) == hmac.digest(pseudorandom, b"GMP group key\x01", hashlib.sha256)


def test_key_wrap_gives_the_octets_of_rfc_5649() -> None:
    """The RFC's own example is of 192 bits and 20 octets; here the same steps are done on ours with AES alone."""
    under = wrapping_key(SECRET, 5, 3)
    cipher = Cipher(algorithms.AES(under), modes.ECB()).encryptor()  # noqa: S305  the wrap's own building block
    block = bytes.fromhex("a65959a6 0000001e")  # the alternative initial value, and the length
    registers = [(GROUP_KEY + bytes(2))[at : at + 8] for at in range(0, 32, 8)]
    for round_number in range(6):
        for index in range(4):
            encrypted = cipher.update(block + registers[index])
            step = (4 * round_number + index + 1).to_bytes(8)
            block = bytes(left ^ right for left, right in zip(encrypted[:8], step, strict=True))
            registers[index] = encrypted[8:]
    assert wrap(GROUP_KEY, under) == block + b"".join(registers)
    assert len(wrap(GROUP_KEY, under)) == 40


@pytest.mark.parametrize(
    "of",
    [(SECRET[:-1] + b"x", 5, 3), (SECRET, 6, 3), (SECRET, 5, 4)],
    ids=["another secret", "another session", "another user"],
)
def test_nobody_else_opens_it(of: tuple[bytes, int, int]) -> None:
    wrapped = wrap(GROUP_KEY, wrapping_key(SECRET, 5, 3))
    assert unwrap(wrapped, wrapping_key(SECRET, 5, 3)) == GROUP_KEY
    with pytest.raises(WrongKeyError, match="check value"):
        unwrap(wrapped, wrapping_key(*of))


@given(st.binary(max_size=64))
def test_what_is_no_key_is_refused(octets: bytes) -> None:
    with pytest.raises(WrongKeyError):
        unwrap(octets, wrapping_key(SECRET, 5, 3))


@pytest.mark.parametrize("size", [25, 29, 31, 32])
def test_key_of_another_size_is_refused(size: int) -> None:
    under = wrapping_key(SECRET, 5, 3)
    with pytest.raises(WrongKeyError, match=r"octets in it|octets, a wrapped"):
        unwrap(aes_key_wrap_with_padding(under, bytes(size)), under)
    with pytest.raises(ValueError, match=f"a group key of {size} octets, not 30"):
        wrap(bytes(size), under)
