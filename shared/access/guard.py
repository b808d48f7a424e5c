"""The door of every route: a key with the scope, or nothing."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from shared.access.errors import Forbidden
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope

_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key, `lf_...`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="The same key.")

Guard = Callable[..., Awaitable[Principal]]


def require(scope: Scope, keys: KeyRing) -> Guard:
    """A FastAPI dependency that gives the Principal: `caller: Annotated[Principal, Depends(require(...))]`.

    It raises Unauthenticated (401), Forbidden (403) naming the scope, or NotLoaded (503).
    """

    async def guard(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        header: Annotated[str | None, Security(_HEADER)],
    ) -> Principal:
        principal = keys.authenticate(bearer.credentials if bearer else header)
        if not principal.may(scope):
            raise Forbidden(scope)
        return principal

    return guard
