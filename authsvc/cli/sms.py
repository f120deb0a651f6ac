"""`authsvc sms stats`: how many codes were sent to which range of numbers, and how many of them were used."""

from __future__ import annotations

import json
from argparse import Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.flows import texts
from authsvc.flows.core import Core
from authsvc.flows.users import timestamp

DAY_MS = 86_400_000


def _stats(core: Core, arguments: Namespace) -> None:
    """A line for each day and range, the newest first. Few used ones are a sign of pumping."""
    for day, prefix, sent, verified in texts.stats(core):
        date = str(timestamp(day * DAY_MS))[:10]
        row = {"day": date, "prefix": prefix, "sent": sent, "verified": verified}
        print(json.dumps(row) if arguments.json else f"{date}  {prefix:10}  {sent:6} sent  {verified:6} used")


ACTS: Acts = {"stats": Act("codes sent and used, by day and range of numbers", on_core(_stats))}
