"""Addresses that are refused before a page is read: lists of domains and addresses, lists of words, and the domains whose
owners do not want their pages taken (robots and opt-out lists).

Memory: eight bytes an entry. A domain is known by the 64-bit xxh3 of its normal form; with ten million entries, one
address in 5 * 10^11 would be refused for an accident of hashes.
"""

from __future__ import annotations

import gzip
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import xxhash

from configs.errors import Problem, UserError
from configs.schema.blocklists import Urls

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("ahocorasick_rs",)

_PATH_PARTS = 32
_PROBLEMS = 5
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:")
_PLAIN_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LIST_NAMES = ("domains", "urls", "domains.gz", "urls.gz")


def refuse(url: str, config: Urls) -> tuple[str, float] | None:
    """Reason and value, or None. `opt_out`, `url_domain` (value: labels of the domain that is listed, or characters of
    the address), `url_word` (value: words found)."""
    lists = _lists(tuple(config.domains), tuple(config.opt_out))
    host, path = split(url)
    for reason, listed in (("opt_out", lists[1]), ("url_domain", lists[0])):
        value = listed.find(host, path)
        if value:
            return reason, float(value)
    if config.words or config.substrings:
        found = _words(tuple(config.words), tuple(config.substrings)).count(unquote(url).lower())
        if found:
            return "url_word", float(found)
    return None


def files(config: Urls) -> list[tuple[str, str]]:
    """Every file that decides, in order, those of directories among them; each with the setting that names it."""
    settings = ("domains", "opt_out", "words", "substrings")
    return [(name, str(path)) for name in settings for entry in getattr(config, name) for path in _expand(entry)]


def forget() -> None:
    """The lists are read again when they are next needed."""
    _lists.cache_clear()
    _words.cache_clear()


def problems(config: Urls) -> list[Problem]:
    """What is wrong with the lists; every line of them is read."""
    found = []
    for read in (
        lambda: _lists(tuple(config.domains), tuple(config.opt_out)),
        lambda: _words(tuple(config.words), tuple(config.substrings)),
    ):
        try:
            read()
        except UserError as error:
            found += error.problems
    return found


def split(url: str) -> tuple[str, str]:
    """Host and path of an address in the forms that are compared. Host: lower case, without user, port and trailing
    dots, percent escapes decoded, in Punycode (RFC 3492) where it is not ASCII. Path: with the query, without
    fragment, escapes decoded, lower case, no slash at the end. Never raises; "" where there is none."""
    rest = url.strip()
    scheme = _SCHEME.match(rest)
    # "example.com:80/x" has a port, "mailto:" and "urn:" no host.
    if scheme and rest.startswith("//", scheme.end()):
        rest = rest[scheme.end() + 2 :]
    elif rest.startswith("//"):
        rest = rest[2:]
    cut = min((at for at in map(rest.find, "/?#\\") if at >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:].partition("#")[0]
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if not _PLAIN_HOST.fullmatch(host):
        host = _normal_host(host)
    return host, unquote(path).lower().strip("/")


def _normal_host(host: str) -> str:
    host = unquote(host).strip().rstrip(".").lower()
    if host.isascii():
        return host
    labels = []
    for label in re.split("[.\u3002\uff0e\uff61]", host):
        try:
            labels.append(label.encode("idna").decode("ascii").lower())
        except UnicodeError:
            labels.append(label)
    return ".".join(labels).rstrip(".")


@dataclass(frozen=True)
class _Addresses:
    """uint64 [entries], sorted: hashes of domains, and of `host/path`."""

    domains: np.ndarray
    paths: np.ndarray

    def find(self, host: str, path: str) -> int:
        """Labels of the listed domain that host is or lies below; characters of the listed address that begins this
        one, at the border of a folder; 0 if neither is listed."""
        if not host:
            return 0
        labels = host.split(".")
        if len(self.domains):
            for first in range(max(0, len(labels) - 16), len(labels)):
                if _holds(self.domains, ".".join(labels[first:])):
                    return len(labels) - first
        if len(self.paths) and path:
            host = host.removeprefix("www.")
            parts = re.split("[/?]", path, maxsplit=_PATH_PARTS)
            at = 0
            for part in parts:
                at += len(part)
                if _holds(self.paths, f"{host}/{path[:at]}"):
                    return len(host) + 1 + at
                at += 1
        return 0


def _holds(hashes: np.ndarray, key: str) -> bool:
    value = _hash(key)
    at = int(hashes.searchsorted(value))
    return at < len(hashes) and int(hashes[at]) == value


def _hash(key: str) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")))


@cache
def _lists(domains: tuple[str, ...], opt_out: tuple[str, ...]) -> tuple[_Addresses, _Addresses]:
    wrong: list[Problem] = []
    both = _addresses(domains, wrong), _addresses(opt_out, wrong)
    if wrong:
        raise UserError(*wrong[:_PROBLEMS])
    return both


def _addresses(entries: Iterable[str], wrong: list[Problem]) -> _Addresses:
    domains, paths = [], []
    for where, line in _lines(entries, wrong):
        fields = line.split()
        # As in a hosts file: the address that the domain is sent to, then the domain.
        if len(fields) == 2 and _is_ip(fields[0]):
            line = fields[1]
        elif len(fields) > 1:
            hint = "one domain (example.com) or address (example.com/path) a line"
            wrong.append(Problem(f"neither a domain nor an address: {line[:80]!r}", where, hint))
            continue
        line = line.removeprefix("*.").removeprefix(".")
        host, path = (line, "") if _PLAIN_HOST.fullmatch(line) else split(line)
        if not host:
            wrong.append(Problem(f"no domain in {line[:80]!r}", where))
        elif path:
            paths.append(xxhash.xxh3_64_intdigest(f"{host.removeprefix('www.')}/{path}".encode("utf-8", "replace")))
        else:
            domains.append(xxhash.xxh3_64_intdigest(host.encode("utf-8", "replace")))
    return _Addresses(np.unique(np.array(domains, np.uint64)), np.unique(np.array(paths, np.uint64)))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class _Words:
    """words: whole, between characters that are neither letters nor digits. substrings: anywhere."""

    def __init__(self, words: list[str], substrings: list[str]) -> None:
        from ahocorasick_rs import AhoCorasick

        self._whole = len(words)
        self._search: Any = AhoCorasick([*words, *substrings]) if words or substrings else None

    def count(self, url: str) -> int:
        if self._search is None:
            return 0
        return sum(
            index >= self._whole or not (url[start - 1 : start].isalnum() or url[end : end + 1].isalnum())
            for index, start, end in self._search.find_matches_as_indexes(url, overlapping=True)
        )


@cache
def _words(words: tuple[str, ...], substrings: tuple[str, ...]) -> _Words:
    wrong: list[Problem] = []
    both = [sorted({line.lower() for _, line in _lines(entries, wrong)}) for entries in (words, substrings)]
    if wrong:
        raise UserError(*wrong[:_PROBLEMS])
    return _Words(*both)


def _lines(entries: Iterable[str], wrong: list[Problem]) -> Iterator[tuple[str, str]]:
    """(file:line, line) of all lists, without comments and empty lines."""
    for entry in entries:
        try:
            for path in _expand(entry):
                with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
                    for number, raw in enumerate(file, start=1):
                        line = raw.decode("utf-8", "replace").partition("#")[0].strip()
                        if line:
                            yield f"{path}:{number}", line
        except (OSError, EOFError) as error:
            wrong.append(Problem(f"cannot read the list: {getattr(error, 'strerror', None) or error}", entry))


def _expand(entry: str) -> list[Path]:
    path = Path(entry).expanduser()
    if not path.is_dir():
        return [path]
    return sorted(found for found in path.rglob("*") if found.name in _LIST_NAMES and found.is_file())
