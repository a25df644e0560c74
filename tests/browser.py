"""A real browser without a window, driven over the WebDriver protocol (W3C), and a server that notes who calls."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import absent

_START_SECONDS = 60


class Browser:
    """One session. Dialogs stay open until they are asked for."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._driver = driver
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1250,2000",
        ]
        options = {
            "args": [*arguments, f"--user-data-dir={profile}"],
            "binary": shutil.which("chromium") or "chromium",
        }
        wanted = {"goog:chromeOptions": options, "unhandledPromptBehavior": "ignore"}
        self._session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, address: str) -> None:
        """Goes to an address and waits until it is loaded."""
        self._call("POST", f"/session/{self._session}/url", {"url": address})

    def dialog(self) -> str | None:
        """The text of an open dialog, which is closed; None without one."""
        try:
            text = self._call("GET", f"/session/{self._session}/alert/text")
            self._call("POST", f"/session/{self._session}/alert/dismiss", {})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return str(text)

    def text(self) -> str:
        """What the page shows."""
        script = {"script": "return document.body.innerText", "args": []}
        return str(self._call("POST", f"/session/{self._session}/execute/sync", script))

    def close(self) -> None:
        self._call("DELETE", f"/session/{self._session}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._driver + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """A browser with a fresh profile in `directory`; skips, or fails under CI, where none is installed."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        absent(f"a browser ({', '.join(missing)}): `make test-packages` installs it")
    with subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        try:
            assert driver.stdout is not None
            line, until = "", time.monotonic() + _START_SECONDS
            while "started successfully on port" not in line:
                line = driver.stdout.readline()
                assert line and time.monotonic() < until, "chromedriver did not start"
            threading.Thread(target=driver.stdout.read, daemon=True).start()
            port = line.rstrip(".\n").rsplit(" ", 1)[1]
            session = Browser(f"http://127.0.0.1:{port}", directory / "profile")
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and the paths it is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
