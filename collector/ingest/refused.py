"""Refused: what a request is answered when it is not taken."""

from http import HTTPStatus
from typing import Literal

import msgspec

from agent.wire import Refusal

Code = Literal[
    "unauthorised",
    "revoked",
    "malformed",
    "too_large",
    "too_many",
    "wrong_agent",
    "not_found",
    "busy",
]


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """Nothing of the request was kept. `sentence` says what is wrong, where, what was expected."""

    def __init__(self, status: HTTPStatus, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence

    def body(self) -> bytes:
        """Return the JSON that agents tell our refusal from a proxy's by."""
        return msgspec.json.encode(Refusal(error=self.sentence, code=self.code))
