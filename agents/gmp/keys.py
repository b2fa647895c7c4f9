"""A session's group key on its way to a member: wrapped, so that it never stands in a message as it is [7.3, G-12, G-18].

The key is 30 octets, SRTP's master key and salt. It is wrapped by RFC 5649 under a key that HKDF makes of the client's
provisioned secret, the session and the user: what one member is sent nobody else can open, nor can it in another session.
"""

from __future__ import annotations

from struct import Struct

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from agents.gmp.constants import GROUP_KEY_SIZE, WRAPPED_KEY_SIZE, WRAPPING_KEY_SIZE

SECRET_MINIMUM = 16  # bytes: a shorter one can be guessed from one wrapped key [GI-2]

_SALT = Struct("!HH")
_INFO = b"GMP group key"


class WrongKeyError(ValueError):
    """A wrapped key that is not one for this client: damaged, made under another secret, or not a group key."""


def wrapping_key(secret: bytes, session_id: int, user_id: int) -> bytes:
    """The 32 octets under which the keys of a session are wrapped for a user [G-18]."""
    return HKDF(SHA256(), WRAPPING_KEY_SIZE, _SALT.pack(session_id, user_id), _INFO).derive(secret)


def wrap(group_key: bytes, under: bytes) -> bytes:
    """The 40 octets that TLV 18 holds; ValueError for a group key that is not 30 octets."""
    if len(group_key) != GROUP_KEY_SIZE:
        raise ValueError(f"a group key of {len(group_key)} octets, not {GROUP_KEY_SIZE}")
    return aes_key_wrap_with_padding(under, group_key)


def unwrap(wrapped: bytes, under: bytes) -> bytes:
    """The group key in TLV 18; raises WrongKeyError for anything else."""
    if len(wrapped) != WRAPPED_KEY_SIZE:
        raise WrongKeyError(f"{len(wrapped)} octets, a wrapped group key has {WRAPPED_KEY_SIZE}")
    try:
        group_key = aes_key_unwrap_with_padding(under, wrapped)
    except InvalidUnwrap:
        raise WrongKeyError("its check value does not fit") from None
    if len(group_key) != GROUP_KEY_SIZE:
        raise WrongKeyError(f"{len(group_key)} octets in it, a group key has {GROUP_KEY_SIZE}")
    return group_key
