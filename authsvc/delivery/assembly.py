"""Which couriers there are, and the housekeeping beside them, put together from the settings."""

from __future__ import annotations

from authsvc.config.settings import Settings
from authsvc.delivery.counting import Counting
from authsvc.delivery.housekeeping import Housekeeping
from authsvc.delivery.mail import MailCourier
from authsvc.delivery.senders import ConsoleSender, FolderSender, Sender
from authsvc.delivery.sms import SmsCourier
from authsvc.delivery.smtp import SmtpSender
from authsvc.delivery.threads import Deliveries, Runner
from authsvc.delivery.webhooks import WebhookWorker
from authsvc.delivery.worker import Courier, Worker
from authsvc.primitives.keyring import Keyring
from authsvc.store.sqlite import Store
from authsvc.world import World

WEBHOOK_THREADS = 4  # of a process: so many receivers can be slow at a time before others wait


def mail_sender(settings: Settings, world: World) -> Sender:
    """The way out that AUTHSVC_MAIL names."""
    target = settings.mail
    if target.scheme == "console":
        return ConsoleSender(world)
    if target.scheme == "file":
        return FolderSender(target.folder)
    return SmtpSender(target, world, helo=settings.mail_from.address.rpartition("@")[2])


def mail_courier(settings: Settings, world: World, keyring: Keyring, store: Store) -> MailCourier:
    return MailCourier(settings, world, keyring, store, mail_sender(settings, world))


def deliveries(settings: Settings, world: World, keyring: Keyring, store: Store) -> Deliveries:
    """All that is delivered by this process, if its threads are wanted."""
    mail = mail_courier(settings, world, keyring, store)
    couriers: list[Courier] = [mail, SmsCourier(settings, world, keyring, store, mail.letters)]
    workers: list[Runner] = [Worker(store, world, courier) for courier in couriers]
    workers += [WebhookWorker(settings, world, keyring, store) for _ in range(WEBHOOK_THREADS)]
    house = Housekeeping(settings, world, keyring, store)
    return Deliveries(world, workers, house, Counting(store, world), in_threads=settings.delivery == "threads")
