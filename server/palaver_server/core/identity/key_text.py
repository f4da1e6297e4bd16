"""The text of an API key: ``palaver_``, 43 digits of a random number, 6 digits of a checksum.

The prefix lets people and secret scanners recognise a key. The checksum tells a mistyped or cut-off key from an unknown
one without a look at any key, as GitHub's tokens do; everybody can compute it, so saying so tells an attacker nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

PREFIX = "palaver_"
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase  # base 62: a double click selects all of it
_RANDOM_BITS = 256
_RANDOM_LENGTH = 43  # 62 ** 43 is just above 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 is above 2 ** 32
LENGTH = len(PREFIX) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
_ALPHABET = frozenset(_DIGITS)


def new_key_text() -> str:
    """Make a key out of 256 random bits of the operating system."""
    body = PREFIX + _base62(secrets.randbits(_RANDOM_BITS), _RANDOM_LENGTH)
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Tell whether a text can be a key at all: prefix, length, digits and checksum are right."""
    if len(text) != LENGTH or not text.startswith(PREFIX) or not _ALPHABET.issuperset(text[len(PREFIX) :]):
        return False
    return _checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def key_hash(text: str) -> str:
    """The SHA-256 of a whole key, in hexadecimal: what is stored in place of it.

    One fast hash is right here. Slow, salted ones protect passwords, which people choose and attackers guess; nobody
    guesses 256 random bits, and a slow hash would be paid by every call.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
