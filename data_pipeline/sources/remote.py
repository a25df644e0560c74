"""Inputs that lie elsewhere: on web servers (http, https), and wherever fsspec reaches (s3, gs, hf, ...).

A remote file is known by its size and by what its store changes with its content (ETag, checksum, blob id, else its
date), not by the hash of its bytes: that would read a crawl twice. Where a store tells none of these, the bytes are
read and hashed. A file is one unit; it is copied beside the corpus when its unit begins, compared with what was listed,
and removed when the unit ends. A connection that breaks is taken up again and never taken for a damaged file.

Credentials come from the environment, as each store's own library reads them; addresses that hold any are refused.
"""

from __future__ import annotations

import os
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from configs.errors import MachineError, Problem, TryLater, UserError
from data_pipeline.shards.atomic import attempt_path, make_directory
from data_pipeline.sources import web

_CHUNK = 8 << 20
_TRIES = 5
_BACKOFF_SECONDS = 0.5
_REQUESTS = 16
_TAGS = ("ETag", "etag", "md5Hash", "md5", "content_md5", "checksum", "crc32c", "blob_id", "LastModified")
_DATES = ("last_modified", "updated", "mtime", "created")
_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_HINT = "check the address; credentials come from the environment"


class Remote(NamedTuple):
    """relative_path: as of a local input. xxh3: 32 hex digits that stand for its content."""

    relative_path: str
    url: str
    size: int
    xxh3: str


def is_remote(path: str) -> bool:
    """Whether a path is the address of a file elsewhere (`file://` is here)."""
    scheme, mark, _ = path.partition("://")
    return bool(mark) and scheme.replace("+", "").isalnum() and scheme != "file"


def shown(url: str) -> str:
    """An address for messages: without user information and query, which may hold secrets."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def named(path: str) -> str:
    """A path or address for messages."""
    return shown(path) if is_remote(path) else path


def list_remote(entry: str, wanted: Callable[[str], bool], left_out: Callable[[int], None]) -> list[Remote]:
    """The files an address stands for: a file, and where the store can list, a directory or a glob.

    wanted: whether a file of this name in a directory is read; the others' sizes go to `left_out`. UserError: there
    is no such file. TryLater: the store does not answer.
    """
    _refuse_secrets(entry)
    if _is_web(entry):
        return look_up([(_name(entry), entry)])
    system, path = file_system(entry)
    prefix = entry[: entry.index("://") + 3]
    try:
        magic = any(letter in path for letter in "*?[")
        if not magic and not system.isdir(path):
            return look_up([(_name(entry), entry)])
        parts = path.split("/")
        plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts))
        root = "/".join(parts[:plain]).rstrip("/")
        found = system.glob(path, detail=True) if magic else system.find(path, detail=True)
    except (OSError, ValueError) as error:
        raise TryLater(f"cannot list: {error}", shown(entry), go_on="give the same command again") from error
    files: list[Remote] = []
    unknown: list[tuple[str, str]] = []
    for name, info in sorted(found.items()):
        if info.get("type") == "directory":
            continue
        relative = str(name).removeprefix(root).lstrip("/")
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not magic and (hidden or not wanted(relative)):
            left_out(int(info.get("size") or 0))
            continue
        url = prefix + str(name).removeprefix(prefix).lstrip("/" if not str(name).startswith("/") else "")
        if info.get("size") is not None and _tag(info).startswith(_TAGS):
            files.append(_remote(relative, url, int(info["size"]), _tag(info)))
        else:
            unknown.append((relative, url))  # listings that tell less than the question for one file does
    return sorted([*files, *look_up(unknown)])


def look_up(named: Sequence[tuple[str, str]]) -> list[Remote]:
    """The files of (relative path, address), a few at a time. UserError: all that are not there."""
    problems: list[Problem] = []

    def one(pair: tuple[str, str]) -> Remote | Problem:
        relative, url = pair
        try:
            _refuse_secrets(url)
            size, tag = _state(url)
            return _remote(relative, url, size, tag)
        except UserError as error:
            return error.problems[0]

    with ThreadPoolExecutor(max_workers=min(_REQUESTS, max(len(named), 1))) as threads:
        found = list(threads.map(one, named))
    problems = [item for item in found if isinstance(item, Problem)]
    if problems:
        more = [Problem(f"{len(problems) - 10} more remote files are not there")] if len(problems) > 10 else []
        raise UserError(*problems[:10], *more)
    return [item for item in found if isinstance(item, Remote)]


def fetch(url: str, xxh3: str, size: int, folder: Path) -> Path:
    """Copies a listed file into `folder`, under a name that no other attempt has; the caller removes it.

    MachineError: it is another file by now. TryLater: it cannot be had."""
    make_directory(folder)
    target = attempt_path(folder / "input")
    try:
        try:
            now = _state(url)
            digest, written = xxhash.xxh3_128(), 0
            with target.open("xb") as file:
                for piece in _bytes(url, now.size, now.tag):
                    file.write(piece)
                    digest.update(piece)
                    written += len(piece)
        except UserError as error:
            raise _gone(url, error.problems[0].what) from error
        tag = now.tag or digest.hexdigest()
        if _remote("", url, written, tag).xxh3 != xxh3 or written != size:
            raise _gone(url, f"it was listed with {size:,} bytes and is another file now, of {written:,}")
        return target
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def read_small(url: str, limit: int) -> bytes:
    """A remote file of at most `limit` bytes, such as a list of paths. UserError: there is none, or it is larger."""
    _refuse_secrets(url)
    size, tag = _state(url)
    parts, total = [], 0
    for piece in _bytes(url, size, tag):
        total += len(piece)
        if total > limit:
            raise UserError(Problem(f"the file is larger than {limit:,} bytes", shown(url)))
        parts.append(piece)
    return b"".join(parts)


def _gone(url: str, what: str) -> MachineError:
    return MachineError(
        f"the remote input has changed: {what}",
        where=shown(url),
        saved="every unit finished before",
        go_on="give the same command again: the inputs are listed anew",
    )


def _remote(relative: str, url: str, size: int, tag: str) -> Remote:
    if not tag or size < 0:
        digest, size = xxhash.xxh3_128(), 0
        for piece in _bytes(url, size, tag):
            digest.update(piece)
            size += len(piece)
        tag = digest.hexdigest()
    return Remote(relative, url, size, xxhash.xxh3_128_hexdigest(f"remote\0{size}\0{tag}".encode()))


def _state(url: str) -> web.State:
    if _is_web(url):
        with _WebFaults(url):
            return web.state(url)
    system, path = file_system(url)
    info = _tried(lambda: system.info(path), url)
    if info.get("type") == "directory":
        raise UserError(Problem("a directory, not a file", shown(url), "name files, or end the list's lines in files"))
    size = info.get("size")
    return web.State(-1 if size is None else int(size), _tag(info))


def _bytes(url: str, size: int, tag: str) -> Iterator[bytes]:
    """The bytes of a remote file, in pieces."""
    if _is_web(url):
        with _WebFaults(url):
            yield from web.stream(url, tag)
        return
    system, path = file_system(url)
    if size < 0:
        size = int(_tried(lambda: system.size(path), url))
    for start in range(0, size, _CHUNK):
        end = min(start + _CHUNK, size)

        def piece(start: int = start, end: int = end) -> bytes:
            data = bytes(system.cat_file(path, start=start, end=end))
            if len(data) != end - start:
                raise OSError(f"{len(data)} bytes came of {end - start}")
            return data

        yield _tried(piece, url)


def _tried(call: Callable[[], Any], url: str) -> Any:
    """Its result, tried again where the store may be busy."""
    for tried in range(1, _TRIES + 1):
        try:
            return call()
        except FileNotFoundError:
            raise UserError(Problem("no such remote file", shown(url), _HINT)) from None
        except PermissionError:
            raise UserError(Problem("the store refuses access", shown(url), _HINT)) from None
        except Exception as error:  # each store's library has errors of its own
            if tried == _TRIES:
                raise _try_later(url, str(error)) from error
            time.sleep(_BACKOFF_SECONDS * 2**tried)
    raise AssertionError


class _WebFaults:
    """Turns refusals into UserError and silence into TryLater."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, web.Refused):
            what = "no such remote file" if error.status in (404, 410) else "the server refuses access"
            raise UserError(Problem(f"{what} (HTTP {error.status})", shown(self._url), _HINT)) from error
        if isinstance(error, web.Unreachable):
            raise _try_later(self._url, str(error)) from error


def _try_later(url: str, reason: str) -> TryLater:
    return TryLater(
        f"a remote input cannot be read: {reason[:300]}",
        where=shown(url),
        saved="every unit finished before",
        go_on="see to the network, then give the same command again",
    )


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system, and the path in it. UserError where none is installed for this kind of address."""
    import fsspec

    scheme = url.partition("://")[0]
    if os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "TRUE") and scheme == "hf":
        raise UserError(Problem("HF_HUB_OFFLINE is set: the hub is not asked", shown(url), "unset it, or use files"))
    if scheme.lower() in ("zip", "tar", "simplecache", "filecache", "blockcache") or "::" in url:
        raise UserError(Problem("chained addresses are not read", shown(url), "name the files themselves"))
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError:
        package = _EXTRAS.get(scheme, "")
        hint = f"pip install 'millrace[remote]' (it brings {package})" if package else "see fsspec's documentation"
        raise UserError(Problem(f"{scheme}:// needs a package that is not installed", shown(url), hint)) from None
    except ValueError:
        known = "s3, gs, hf, http, https, file"
        raise UserError(Problem(f"{scheme}:// is no protocol known here", shown(url), f"known are {known}")) from None
    return system, path


def _tag(info: dict[str, Any]) -> str:
    lfs = info.get("lfs")
    if lfs:
        return f"checksum={lfs.get('sha256') if isinstance(lfs, dict) else getattr(lfs, 'sha256', lfs)}"
    for name in (*_TAGS, *_DATES):
        if info.get(name):
            return f"{name}={info[name]}"
    return ""


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _name(url: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).rstrip("/").rpartition("/")[2]


def _refuse_secrets(url: str) -> None:
    if "@" in urllib.parse.urlsplit(url).netloc and not url.startswith(("hf://", "abfs")):
        what = "the address holds user information, which would be kept with the corpus"
        raise UserError(Problem(what, shown(url), "give credentials by the environment"))
