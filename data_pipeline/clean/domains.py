"""The registered domain of an address: what one owner holds, such as `bbc.co.uk` of `https://news.bbc.co.uk/x`.

By the Public Suffix List (publicsuffix.org), which lies inside the package publicsuffixlist: nothing is downloaded. Its
private part counts too, so that each site of a hoster (`anna.github.io`) is a domain of its own.
"""

from __future__ import annotations

import ipaddress
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from data_pipeline.clean.urls import split

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("publicsuffixlist",)

_LONGEST = 253
"""Characters of a name in the domain name system (RFC 1035); what is longer names no host."""


def domain(url: str) -> str:
    """The registered domain of an address in lower case and Punycode; an IP address, a name without dots or a suffix as
    it is; "" where there is no host. Never raises."""
    return registered(split(url)[0])


@lru_cache(maxsize=100_000)
def registered(host: str) -> str:
    """As `domain`, of a host in the form that `urls.split` gives it."""
    if not host or len(host) > _LONGEST or _is_address(host):
        return "" if len(host) > _LONGEST else host
    return _suffixes().privatesuffix(host) or host


def _is_address(host: str) -> bool:
    if not (host[-1].isdigit() or ":" in host):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
