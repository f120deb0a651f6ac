"""A process of its own in which the extra `crypto` is not installed: signs in by a provider, and prints what came of it.

Its arguments are a folder, and the app's settings as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.modules["cryptography"] = None  # type: ignore[assignment]


def main() -> None:
    from authsvc.primitives.keypairs import has_crypto
    from tests.openid.walks import browser, enter
    from tests.support import FakeWorld, actions, running

    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    with running(Path(sys.argv[1]), world, **json.loads(sys.argv[2])) as app:
        answer = enter(browser(app), "ada")
        told = {"crypto": has_crypto(), "status": answer.status, "answer": answer.json(), "actions": actions(app), "log": world.lines}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
