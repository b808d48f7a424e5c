"""What a caller without the right key is told; never why the key was wrong."""

from shared.errors import LeadflowError


class Unauthenticated(LeadflowError):
    """No proof of who is calling, or none that is good now.

    It says the same for every reason, so that nothing can be probed.
    """

    def __init__(self, message: str = "an API key is needed: Authorization: Bearer lf_...") -> None:
        super().__init__(message)


class Forbidden(LeadflowError):
    """The key is good, but not for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the API key lacks the scope {scope}")
        self.scope = scope
