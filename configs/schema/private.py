"""What is done about personal data and secrets in texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.section import Section

Action = Literal["mask", "drop", "keep"]
"""mask: a fixed placeholder takes the place of each. drop: the document is rejected. keep: counted, left as it is."""


class PiiKinds(Section):
    """What is done about each kind. Content."""

    email: Action = Field(default="mask", description="e-mail addresses")
    ip: Action = Field(default="mask", description="public IPv4 and IPv6 addresses; private and reserved ones stay")
    phone: Action = Field(default="mask", description="telephone numbers, international and national")
    iban: Action = Field(
        default="mask", description="bank accounts: IBAN of the country's length with right check digits"
    )
    credit_card: Action = Field(default="mask", description="card numbers: known issuer, Luhn check digit")
    secret: Action = Field(default="mask", description="keys, tokens, passwords in assignments, private key blocks")


class Pii(Section):
    """Personal data and secrets, found by rules. Content."""

    enabled: bool = Field(default=False, description="look for personal data and secrets")
    kinds: PiiKinds = PiiKinds()
