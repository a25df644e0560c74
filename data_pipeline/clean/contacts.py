"""E-mail addresses and public IP addresses in a text.

Every search is linear: addresses are looked for around the places of "@", ":" and dotted digits alone, within the
length an address may have.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

RULE_VERSION = 1

# The local part, backwards from the "@" (RFC 5321: 64 characters). Of the marks that RFC 5322 allows, those that are
# in use: the others mostly belong to a web address or to quotation around the mail address. Latin letters only: Chinese
# or Thai writes the address without a blank after the word before it.
_LOCAL = re.compile(r"[A-Za-z0-9\u00c0-\u024f._%+'-]{1,64}")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f-]{0,62})\.){1,8}"
    # Extraction may glue the next word to the address: "example.frPlus" ends where the case changes.
    r"(?:(?:[A-Za-z][a-z]{1,23}|[A-Z]{2,24})(?![a-z0-9])|xn--[A-Za-z0-9-]{2,59}(?![A-Za-z0-9]))"
)
# image@2x.png and react@next.js are names of files.
_FILE_ENDING = re.compile(
    r"png|jpe?g|gif|svg|webp|avif|ico|bmp|tiff?|css|[jt]sx?|mjs|json|html?|php|aspx?|mp[34]|pdf", re.IGNORECASE
)

# All but the first number: dots are rarer than digits, and found faster.
_IPV4 = re.compile(r"\.(?<=[0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_FIRST = re.compile(r"[0-9]{1,4}\Z")
# Before four dotted numbers that are a version or a numbered section rather than an address.
_NUMBERED = re.compile(
    r"(?:[A-Za-z]/|\bv|\b(?:ver|vers|version|versions|release|build|firmware|update|section|chapter|clause|figure|table)"
    r"[ .:]{0,2})\Z",
    re.IGNORECASE,
)

# IANA registries of special-purpose addresses (RFC 6890 and its updates): not global, or of no single person. Kept
# here, since the list inside Python's `ipaddress` changes between its releases.
_RESERVED_IPV4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
_RESERVED_RANGES = [
    (int(network.network_address), int(network.broadcast_address))
    for network in map(ipaddress.IPv4Network, _RESERVED_IPV4)
]
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # all that is allocated (RFC 4291, 2.4)
_RESERVED_IPV6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16")))
_IPV6_LENGTH = 39
_HEX_GROUPS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6_BEFORE = re.compile(r"[0-9A-Fa-f:]{0,40}")
_IPV6 = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}")


def emails(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each e-mail address."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.match(text[max(0, at - 65) : at][::-1])
        domain = _DOMAIN.match(text, at + 1) if local else None
        if local and domain:
            # Quotation, bullets and dots before the address are none of it; a dot may not stand before the "@".
            name = local[0][::-1].lstrip("._%+'-")
            ending = domain[0].rpartition(".")[2]
            if name and not name.endswith(".") and not _FILE_ENDING.fullmatch(ending):
                yield at - len(name), domain.end()
        at = text.find("@", domain.end() if domain else at + 1)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each public IPv4 or IPv6 address."""
    for found in _IPV4.finditer(text):
        first = _FIRST.search(text[max(0, found.start() - 4) : found.start()])
        start = found.start() - (len(first[0]) if first else 0)
        end = found.end()
        if not _stands_alone(text, start, end) or _NUMBERED.search(text[max(0, start - 12) : start]):
            continue
        if _public_ipv4(text[start:end]):
            yield start, end
    done = 0
    for inner in _HEX_GROUPS.finditer(text) if ":" in text else ():
        if inner.start() < done:
            continue
        before = _IPV6_BEFORE.match(text[max(0, inner.start() - 40) : inner.start()][::-1])
        start = inner.start() - (before.end() if before else 0)
        found6 = _IPV6.match(text, start)
        if found6 is None:
            continue
        end = found6.start() + len(found6[0].rstrip(":")) if not found6[0].endswith("::") else found6.end()
        done = end
        if _stands_alone(text, start, end) and _public_ipv6(text[start:end]):
            yield start, end


def _stands_alone(text: str, start: int, end: int) -> bool:
    """No letter, digit or further group touches it."""
    before, behind = text[max(0, start - 1) : start], text[end : end + 2]
    if before.isalnum() or before in (".", "-", "_"):
        return False
    return not (behind[:1].isalnum() or (behind[:1] in (".", "-", "_") and behind[1:].isalnum()))


def _public_ipv4(address: str) -> bool:
    octets = address.split(".")
    if any(octet != str(int(octet)) or int(octet) > 255 for octet in octets):
        return False
    # Four single digits are a version or an outline far more often than one of 10,000 addresses.
    if len(address) == 7:
        return False
    a, b, c, d = map(int, octets)
    value = a << 24 | b << 16 | c << 8 | d
    return not any(low <= value <= high for low, high in _RESERVED_RANGES)


def _public_ipv6(address: str) -> bool:
    if len(address) > _IPV6_LENGTH:
        return False
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return parsed in _GLOBAL_IPV6 and not any(parsed in network for network in _RESERVED_IPV6)
