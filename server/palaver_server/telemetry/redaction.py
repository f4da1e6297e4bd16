"""Takes out of a text what should not stand in a log: keys, mail addresses, card and telephone numbers.

By rules, so that what is taken out can be told beforehand. Recognisers that read, such as presidio's with a language
model of some hundred megabytes, find names and places too, and miss others: who must not keep what people write had
better log none of it, and that is the default.

Telephone numbers are found by https://github.com/daviddrysdale/python-phonenumbers, which knows the numbering plan of
every country: a regular expression takes prices, dates and versions for numbers.
"""

from __future__ import annotations

import re

import phonenumbers

MAIL, CARD, KEY, PHONE = "[mail address]", "[card number]", "[key]", "[telephone number]"

_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"  # RFC 7468
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"  # a JSON Web Token: {" in base64
    r"|\bpalaver_[0-9A-Za-z]{16,}"
    r"|\bsk-(?:[A-Za-z0-9]+-)*[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic and those who do as they do
    r"|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}"
    r"|\bglpat-[\w-]{20,}"  # GitLab
    r"|\bhf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bAIza[\w-]{35}"  # Google
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*",
    re.DOTALL,
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}(?![\w-])")
_CARD = re.compile(r"(?<![\w.])[2-6](?:[ -]?\d){12,18}(?![\w]|[.,]\d)")
"""13 to 19 digits, in groups or not."""
_NETWORKS = re.compile(r"4\d{12}(?:\d{3}){0,2}|5\d{15}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6\d{15,18}")
"""Beginnings and lengths of Visa, Mastercard, American Express, Diners Club, and those that begin with 6."""


def redacted(text: str, region: str | None = None) -> str:
    """The text, with a word in brackets where something was.

    Args:
        text: anything.
        region: the country whose numbers are also written without their country code, such as ``US`` (ISO 3166).
    """
    text = _KEYS.sub(KEY, text)
    text = _MAIL.sub(MAIL, text)
    text = _CARD.sub(_unless_wrong, text)
    return _without_telephone_numbers(text, region)


def is_region(name: str) -> bool:
    """Tell whether telephone numbers of a country are known by this name."""
    return name in phonenumbers.SUPPORTED_REGIONS


def _unless_wrong(found: re.Match[str]) -> str:
    number = re.sub(r"[ -]", "", found[0])
    return CARD if _NETWORKS.fullmatch(number) and _has_checksum(number) else found[0]


def _has_checksum(number: str) -> bool:
    """Luhn's (ISO/IEC 7812-1, annex B): nine of ten numbers of another kind do not have it."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _without_telephone_numbers(text: str, region: str | None) -> str:
    found = phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID)
    for match in sorted(found, key=lambda match: -match.start):
        text = f"{text[: match.start]}{PHONE}{text[match.end :]}"
    return text
