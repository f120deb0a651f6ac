"""Real reverse proxies before a real `authsvc serve`, each with the configuration that scripts/deploy gives for it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.mailserver import certificate
from tests.support import Answer
from tests.wire.servers import ANSWER_SECONDS, HOST, POLL_SECONDS, ROOT, START_SECONDS, STARTS, STOP_SECONDS, Server, free_port, serving

DEPLOY = ROOT / "scripts" / "deploy"
NAME = "auth.example.com"
MOUNT = "/auth"
UPSTREAM = "127.0.0.1:8000"
SETTINGS = {
    "AUTHSVC_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "AUTHSVC_TRUSTED_PROXIES": "127.0.0.1/32",
    "AUTHSVC_LIMIT_REGISTER": "0",
}
NGINX_MAIN = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/main.log;
daemon off;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass
class Proxied:
    """A service behind a proxy that speaks TLS."""

    port: int
    folder: Path
    prefix: str = ""
    service: Server | None = None

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, source: str = "127.0.0.2"
    ) -> Answer:
        """One request, as from another machine; the path is below the prefix."""
        sent = {"Host": NAME, "Content-Type": "application/json"} | (headers or {})
        trusting = ssl._create_unverified_context()
        connection = HTTPSConnection(HOST, self.port, timeout=ANSWER_SECONDS, context=trusting, source_address=(source, 0))
        try:
            connection.request(method, self.prefix + path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def written(self) -> str:
        """All that the proxy has written down."""
        return "".join(path.read_text("utf-8", errors="replace") for path in self.folder.glob("*.log"))


def nginx(folder: Path, port: int, upstream: int, *, mounted: bool) -> list[str]:
    """The command that serves by nginx.conf on this port."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    if mounted:
        (location,) = re.findall(r"`(location .*)`", text)
        text = text.replace("    location / {", f"    {location}")
    text = re.sub(r"^ *listen \[::\].*$", "", text, flags=re.MULTILINE)
    text = text.replace("listen 443", f"listen {HOST}:{port}").replace("listen 80;", f"listen {HOST}:{free_port()};")
    text = text.replace("/etc/ssl/auth.example.com/", f"{folder}/").replace("/var/log/nginx", str(folder))
    (folder / "site.conf").write_text(text.replace(UPSTREAM, f"{HOST}:{upstream}"), "utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder, user=user), "utf-8")
    return ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "main.log")]


def caddy(folder: Path, port: int, upstream: int, *, mounted: bool) -> list[str]:
    """The command that serves by Caddyfile on this port."""
    text = (DEPLOY / "Caddyfile").read_text("utf-8")
    if mounted:
        (line,) = re.findall(rf"`(reverse_proxy .* {UPSTREAM})`", text)
        text = text.replace(f"\treverse_proxy {UPSTREAM}", f"\t{line}")
    text = text.replace("\n{\n", f"\n{{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind {HOST}\n", 1)
    text = text.replace(f"\n{NAME} {{\n", f"\nhttps://{NAME}:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n")
    (folder / "Caddyfile").write_text(text.replace(UPSTREAM, f"{HOST}:{upstream}"), "utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


Command = Callable[..., list[str]]
PROXIES: dict[str, Command] = {"nginx": nginx, "caddy": caddy}


@contextmanager
def proxied(name: str, folder: Path, *, mounted: bool = False) -> Iterator[Proxied]:
    """A production service behind this proxy; both are stopped at the end."""
    prefix = MOUNT if mounted else ""
    public = {"AUTHSVC_PUBLIC_URL": f"https://{NAME}{prefix}", "AUTHSVC_MAIL": f"file:{folder}/mail"}
    absent_or(name)
    with serving(folder, **SETTINGS, **public) as service, proxying(name, folder, service.port, mounted=mounted) as port:
        yield Proxied(port, folder, prefix, service)


@contextmanager
def proxying(name: str, folder: Path, upstream: int, *, mounted: bool = False) -> Iterator[int]:
    """The port of this proxy, for whatever listens on the other one, if anything does."""
    program = absent_or(name)
    for file, content in zip(("fullchain.pem", "privkey.pem"), certificate(), strict=True):
        (folder / file).write_bytes(content)
    process, port = _started(program, name, folder, upstream, mounted=mounted)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _started(program: str, name: str, folder: Path, upstream: int, *, mounted: bool) -> tuple[subprocess.Popen[bytes], int]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    log = folder / "output.log"
    for _ in range(STARTS):
        port = free_port()
        _, *words = PROXIES[name](folder, port, upstream, mounted=mounted)
        with log.open("wb") as output:
            process = subprocess.Popen([program, *words], env=environment, stdout=output, stderr=output)
        if _listens(process, port):
            return process, port
        process.kill()
        process.wait()
        assert "in use" in log.read_text("utf-8"), log.read_text("utf-8")
    raise AssertionError("no port stays free")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the port answers; False when the process ended instead."""
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return True
        sleep(POLL_SECONDS)
    return False


def absent_or(name: str) -> str:
    """The program, or a skip; where CI has promised it, a failure."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    message = f"there is no {name} on this machine"
    if os.environ.get(f"CI_HAS_{name.upper()}") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
