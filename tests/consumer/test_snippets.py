"""The README's snippets for services that trust our tokens, each run as printed against a real authsvc."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.consumer.loops import apart
from tests.faults.servers import Server, environment, free_port, serving
from tests.node import modules

ROOT = Path(__file__).parents[2]
OPENID = ROOT / "tests" / "openid"  # jose comes with the provider there
PRINTED = "https://auth.example.com"
SNIPPET = re.compile(r"<!-- snippet (\w+) -->\n```\w+\n(.*?)```", re.DOTALL)


def snippet(name: str) -> str:
    return dict(SNIPPET.findall((ROOT / "README.md").read_text("utf-8")))[name]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("issuer"), jwt_alg="ES256") as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    """Of somebody who may read orders, and of somebody who may not; of nobody at all; and one that is not whole."""
    caller = server.caller()
    for email in ("reader@mail.com", "other@mail.com"):
        assert caller.register(email)
    cli = [sys.executable, "-m", "authsvc"]
    given = {"env": environment(server.database.parent, server.port, {"jwt_alg": "ES256"}), "cwd": server.database.parent}
    subprocess.run([*cli, "role", "put", "reader", "--cap", "orders:*"], capture_output=True, check=True, **given)  # type: ignore[call-overload]
    subprocess.run([*cli, "user", "grant", "reader@mail.com", "reader"], capture_output=True, check=True, **given)  # type: ignore[call-overload]
    found = {name: str(caller.login(f"{name}@mail.com").body["access_token"]) for name in ("reader", "other")}  # type: ignore[union-attr]
    return found | {"broken": found["reader"][:-6] + "AAAAAA"}


def check(get: Callable[[dict[str, str]], tuple[int, dict[str, str], Any]], tokens: dict[str, str]) -> None:
    """Who may is let in by name; who may not, or is not known, is told so as RFC 6750 wants it."""

    def as_whom(name: str) -> tuple[int, str, Any]:
        status, headers, body = get({"Authorization": f"Bearer {tokens[name]}"} if name else {})
        return status, {key.lower(): value for key, value in headers.items()}.get("www-authenticate", ""), body

    status, _, body = as_whom("reader")
    assert (status, body["owner"][:4]) == (200, "usr_")
    assert as_whom("other")[:2] == (403, 'Bearer error="insufficient_scope", scope="orders:read"')
    assert as_whom("")[:2] == (401, "Bearer")
    assert as_whom("broken")[:2] == (401, 'Bearer error="invalid_token"')
    assert as_whom("broken")[2]["code"] == "invalid_token"


def run(name: str, url: str) -> dict[str, Any]:
    module: dict[str, Any] = {"__name__": name}
    exec(compile(snippet(name).replace(PRINTED, url), name, "exec"), module)
    return module


def test_flask(url: str, tokens: dict[str, str]) -> None:
    """As printed."""
    client = run("flask", url)["app"].test_client()

    def get(headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        answer = client.get("/orders", headers=headers)
        return answer.status_code, dict(answer.headers), answer.get_json()

    check(get, tokens)


DJANGO = """
import json, sys
from types import ModuleType
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", MIDDLEWARE=["shop.Refusals"], SECRET_KEY="only-for-testing")
shop = sys.modules["shop"] = ModuleType("shop")
exec(compile(open(sys.argv[1]).read(), "shop", "exec"), shop.__dict__)
from django.urls import path
urls = sys.modules["urls"] = ModuleType("urls")
urls.urlpatterns = [path("orders", shop.orders)]
from wsgiref.util import setup_testing_defaults
for token in json.loads(sys.argv[2]):
    environ = {"PATH_INFO": "/orders", **({"HTTP_AUTHORIZATION": token} if token else {})}
    setup_testing_defaults(environ)
    told = []
    body = b"".join(shop.application(environ, lambda status, headers: told.extend((status, headers))))
    print(json.dumps([int(told[0][:3]), dict(told[1]), json.loads(body)]))
"""


def test_django(url: str, tokens: dict[str, str], tmp_path: Path) -> None:
    """As printed; in a process of its own, since Django's settings are a process's."""
    (tmp_path / "snippet.py").write_text(snippet("django").replace(PRINTED, url), "utf-8")
    asked = [f"Bearer {tokens['reader']}", f"Bearer {tokens['other']}", "", f"Bearer {tokens['broken']}"]
    done = subprocess.run(
        [sys.executable, "-c", DJANGO, str(tmp_path / "snippet.py"), json.dumps(asked)],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = dict(zip(asked, map(json.loads, done.stdout.splitlines()), strict=True))
    check(lambda headers: tuple(answers[headers.get("Authorization", "")]), tokens)  # type: ignore[arg-type, return-value]


def test_fastapi(url: str, tokens: dict[str, str]) -> None:
    """As printed, through its ASGI interface."""
    httpx = pytest.importorskip("httpx")
    transport = httpx.ASGITransport(app=run("fastapi", url)["app"])

    async def ask(headers: dict[str, str]) -> Any:
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.get("/orders", headers=headers)

    def get(headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        answer = apart(ask(headers))
        return answer.status_code, dict(answer.headers), answer.json()

    check(get, tokens)


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; {snippet} }}
}}
"""


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxied(url: str, tmp_path: Path) -> Iterator[str]:
    """nginx with the printed locations, before a service that answers everybody."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        message = "on this machine there is no nginx"
        pytest.fail(message) if os.environ.get("CI_HAS_NGINX") == "1" else pytest.skip(message)

    def behind(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"orders"]

    with make_server("127.0.0.1", 0, behind, handler_class=Quiet) as backend:
        thread = threading.Thread(target=backend.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = free_port()
        printed = snippet("nginx").replace("http://127.0.0.1:8000", url).replace("127.0.0.1:9000", f"127.0.0.1:{backend.server_port}")
        (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, snippet=printed), "utf-8")
        process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
            backend.shutdown()
            thread.join()


def test_nginx(proxied: str, tokens: dict[str, str]) -> None:
    """Who is known gets through, and only they; the place that asks is nobody else's to call."""

    def status(path: str, token: str | None) -> int:
        given = [] if token is None else ["-H", f"Authorization: Bearer {token}"]
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--retry-connrefused", "--retry", "20", "--retry-delay", "1"]
        return int(subprocess.run([*command, *given, proxied + path], capture_output=True, text=True, check=True).stdout)

    assert [status("/orders", token) for token in (tokens["reader"], None, tokens["broken"])] == [200, 401, 401]
    assert status("/authsvc", tokens["reader"]) == 404


NODE = """
import { claimsOf } from "./snippet.mjs";
for (const token of process.argv.slice(2)) {
  try { console.log((await claimsOf(token)).sub.slice(0, 4)); } catch (error) { console.log(error.code); }
}
"""


def test_node(url: str, tokens: dict[str, str], tmp_path: Path) -> None:
    """The package jose takes our token by our keys, and no other."""
    (tmp_path / "node_modules").symlink_to(modules(OPENID, "oidc-provider") / "node_modules")
    (tmp_path / "snippet.mjs").write_text(snippet("node").replace(PRINTED, url), "utf-8")
    (tmp_path / "ask.mjs").write_text(NODE, "utf-8")
    done = subprocess.run(
        ["node", "ask.mjs", tokens["reader"], tokens["broken"]], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["usr_", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"]
