"""An answer that breaks off, for senders that take any answer whatever for the end of a delivery.

The head announces one byte more than follows, so that the server closes the connection. What reads it whole
sees a lost connection; closing without a word would be turned into a whole answer, 502, by a proxy between.
"""

from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class BrokenOff(Response):
    """`answer`, cut before its end. uvicorn hangs up with httptools; with h11 the sender's patience must end it."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.body, answer.status_code, media_type=answer.media_type)
        self.headers["Content-Length"] = str(len(answer.body) + 1)
        self.headers["Connection"] = "close"
        if "retry-after" in answer.headers:
            self.headers["Retry-After"] = answer.headers["retry-after"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The server objects to the missing byte, and hangs up: just what is wanted.
        with suppress(Exception):
            await super().__call__(scope, receive, send)
