"""/captcha: what has to be solved before an act."""

from __future__ import annotations

from authsvc.config.captcha import ACTIONS
from authsvc.flows import captcha
from authsvc.flows.core import Core
from authsvc.http.request import Request
from authsvc.http.response import Response, answer
from authsvc.http.shapes import Field, Shape, choice

CHALLENGE = Shape({"action": Field(choice(*ACTIONS).about("What it is to be solved for."), required=True)})


def challenge(core: Core, request: Request) -> Response:
    return answer(captcha.offer(core, request.query["action"], request.charged))
