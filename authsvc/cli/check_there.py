"""Checks of what is reached over the network: mail, SMS, our own public URL. Nothing is sent to anybody, no secret is shown."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from ssl import SSLError, SSLSocket, cert_time_to_seconds
from urllib.parse import urlsplit

import authsvc
from authsvc.cli.findings import FAIL, OK, WARN, Finding
from authsvc.config.parse import DEFAULT_PORTS
from authsvc.config.settings import Settings
from authsvc.delivery.senders import Unreachable
from authsvc.delivery.smtp import SmtpSender
from authsvc.http import outbound
from authsvc.http.outbound import Call
from authsvc.world import World

SECONDS = 15.0  # for each check as a whole, name resolution too
STEP_SECONDS = 5.0
RENEWAL_DAYS = 14
DAY_MS = 86_400_000

Check = Callable[[Settings, World], Iterator[Finding]]


def all_at_once(given: Settings, world: World) -> list[Finding]:
    """Every check on a thread of its own. One that is not done in time is told, and left behind."""
    found: dict[str, list[Finding]] = {}
    threads = {name: threading.Thread(target=_run, args=(name, check, given, world, found), daemon=True) for name, check in CHECKS.items()}
    for thread in threads.values():
        thread.start()
    deadline = world.monotonic() + SECONDS
    for thread in threads.values():
        thread.join(max(0.0, deadline - world.monotonic()))
    late = [Finding("", FAIL, f"no answer within {SECONDS:.0f} seconds", "is there a firewall, or a dead name server?")]
    return [finding._replace(name=name) for name in CHECKS for finding in found.get(name, late)]


def _run(name: str, check: Check, given: Settings, world: World, found: dict[str, list[Finding]]) -> None:
    try:
        result = list(check(given, world))
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding
        result = [Finding(name, FAIL, f"{type(error).__name__}: {ascii(str(error))[1:-1][:200]}")]
    found[name] = result


def mail(given: Settings, world: World) -> Iterator[Finding]:
    """Connects, takes up TLS and signs in; no mail is sent."""
    target = given.mail
    if target.scheme in ("console", "file"):
        yield _local("mail", target.scheme, target.folder, given)
        return
    where = f"{target.host}:{target.port}"
    sender = SmtpSender(target, world, helo=given.mail_from.address.rpartition("@")[2], timeout=STEP_SECONDS, batch=SECONDS - 1)
    try:
        with sender.connected():
            signed = " and our password" if target.user else ""
            tls = "without TLS" if target.scheme == "smtp" and target.tls == "none" else "with TLS"
    except Unreachable as error:
        yield Finding("mail", FAIL, f"{where}: {error}", "check AUTHSVC_MAIL; until then mail waits in the outbox")
        return
    yield Finding("mail", OK, f"{where} takes our connection {tls}{signed}; authsvc mail test ADDRESS sends one")


def sms(given: Settings, world: World) -> Iterator[Finding]:
    """Connects; nothing is asked for."""
    target = given.sms
    if target.scheme == "off":
        yield Finding("sms", OK, "off")
        return
    if not given.sms_countries:
        yield Finding("sms", WARN, "AUTHSVC_SMS_COUNTRIES is empty, so none is sent", "name the calling codes that SMS may go to")
    if target.scheme in ("console", "file"):
        yield _local("sms", target.scheme, target.folder, given)
        return
    host = urlsplit(target.url).hostname or ""
    try:
        with _connected(target.url, world):
            yield Finding("sms", OK, f"{host} takes our connection; whether it knows us shows with the first SMS")
    except OSError as error:
        yield Finding("sms", FAIL, f"{host}: {_told(error)}", "check AUTHSVC_SMS; until then SMS wait in the outbox")


def public_url(given: Settings, world: World) -> Iterator[Finding]:
    """The certificate, and whether it is we who answer there. A service that is not up is no fault."""
    url = str(given.public_url)
    try:
        world.resolve(given.public_url.host, 0)
    except OSError as error:
        advice = "set AUTHSVC_PUBLIC_URL to the name that people use: it stands in every link that is mailed"
        yield Finding("public_url", FAIL, f"{given.public_url.host}: {_told(error)}", advice)
        return
    try:
        with _connected(url, world) as channel:
            if isinstance(channel, SSLSocket):
                yield _certificate(channel, world.now())
    except SSLError as error:
        yield Finding("public_url", FAIL, f"{given.public_url.host}: {_told(error)}", "browsers refuse it too: renew the certificate")
        return
    except OSError as error:
        advice = "it is not up, or the name does not lead here from this machine"
        yield Finding("public_url", WARN, f"{url}: {_told(error)}", advice)
        return
    yield _answer(url, world)


def _certificate(channel: SSLSocket, now: int) -> Finding:
    until = str((channel.getpeercert() or {}).get("notAfter", ""))
    days = (cert_time_to_seconds(until) * 1000 - now) // DAY_MS
    if days < RENEWAL_DAYS:
        return Finding("public_url", WARN, f"the certificate ends in {days} days", "is its renewal at work?")
    return Finding("public_url", OK, f"the certificate is good for {days} days")


def _answer(url: str, world: World) -> Finding:
    try:
        answered = outbound.call(world, Call("GET", url + "/healthz", {"Accept": "application/json"}, seconds=STEP_SECONDS))
    except outbound.Unreachable as error:
        return Finding("public_url", WARN, f"{url}/healthz: {error}", "is it up?")
    told = _object(answered.body)
    if not answered.ok or told.get("status") != "ok":
        return Finding("public_url", FAIL, f"{url}/healthz answers {answered.status}, and not as authsvc does", "look at the reverse proxy")
    version = told.get("version", authsvc.__version__)
    if version != authsvc.__version__:
        return Finding("public_url", WARN, f"authsvc {version} answers, this is {authsvc.__version__}", "restart the service")
    return Finding("public_url", OK, f"{url} is answered by authsvc")


CHECKS: Mapping[str, Check] = {"mail": mail, "sms": sms, "public_url": public_url}


def _connected(url: str, world: World) -> SSLSocket:
    """A connection to the first address that takes one, by TLS where the URL says so. Raises OSError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    failed: OSError = OSError("the name has no address")
    for address in world.resolve(host, parts.port or DEFAULT_PORTS[parts.scheme]):
        try:
            plain = world.connect(address, parts.port or DEFAULT_PORTS[parts.scheme], STEP_SECONDS)
        except OSError as error:
            failed = error
            continue
        if parts.scheme == "http":
            return plain  # type: ignore[return-value]
        try:
            return world.secure(plain, host)  # type: ignore[return-value]
        except BaseException:
            plain.close()
            raise
    raise failed


def _local(name: str, scheme: str, folder: str, given: Settings) -> Finding:
    if scheme == "file" and os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK):
        return Finding(name, FAIL, f"{folder} cannot be written", "let the service's user own it")
    where = f"into the folder {folder}" if scheme == "file" else "to the log"
    return Finding(name, OK if given.workbench else WARN, f"goes {where}", "" if given.workbench else "nobody outside gets it")


def _object(raw: bytes) -> dict[str, object]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _told(error: OSError) -> str:
    return f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:200]
