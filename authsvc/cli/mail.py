"""`authsvc mail preview NAME` and `authsvc mail test ADDRESS`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.config.settings import Settings
from authsvc.delivery.assembly import mail_courier
from authsvc.delivery.letters import COMMON, LETTERS, Letters
from authsvc.delivery.mail import when
from authsvc.delivery.senders import Permanent, Temporary
from authsvc.flows.core import Core
from authsvc.handlers import fields
from authsvc.primitives import ids
from authsvc.problems import Refused


def _of_a_letter(act: ArgumentParser) -> None:
    act.add_argument("name", choices=sorted(LETTERS), metavar="NAME", help=", ".join(LETTERS))
    act.add_argument("--html", action="store_true", help="the HTML half")
    act.add_argument("--locale", metavar="TAG", help="such as de or pt-BR")


def _of_an_address(act: ArgumentParser) -> None:
    act.add_argument("address", metavar="ADDRESS")
    act.add_argument("--locale", metavar="TAG")


def _preview(settings: Settings, arguments: Namespace) -> None:
    """One letter as it would be sent, with made-up values: the plain text, or with --html the other half."""
    words = COMMON | {"service": settings.name} | LETTERS[arguments.name]
    letter = Letters(settings.letters).render(arguments.name, arguments.locale, words)
    if arguments.json:
        print(json.dumps({"subject": letter.subject, "locale": letter.locale, "text": letter.text, "html": letter.html}))
    elif arguments.html:
        print(letter.html)
    else:
        print(f"Subject: {letter.subject}\n\n{letter.text.rstrip()}")


def _test(core: Core, arguments: Namespace) -> None:
    """Send the letter `test` now, past the outbox, and say what became of it."""
    to = fields.email(arguments.address).address
    courier = mail_courier(core.settings, core.world, core.keyring, core.store)
    now = core.world.now()
    envelope = courier.compose(ids.new(ids.DELIVERY, core.world), "test", to, arguments.locale, {"when": when(now)}, at=now)
    try:
        courier.send_now(envelope)
    except (Permanent, Temporary) as error:
        raise Refused(f"the mail was not sent: {error}") from None
    print(json.dumps({"sent": to, "id": envelope.id}) if arguments.json else f"sent to {to}")


ACTS: Acts = {
    "preview": Act("a letter with made-up values", _preview, _of_a_letter),
    "test": Act("send the test letter now", on_core(_test), _of_an_address),
}
