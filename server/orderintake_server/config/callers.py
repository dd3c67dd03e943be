"""The settings that tell who may call: keys, certificates, and the tokens of an issuer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import File, Seconds, Word


class CallerSettings(Sourced):
    """Who may call; when neither file is named, anybody may do everything."""

    access: Annotated[File | None, Word("FILE")] = Field(
        default=None,
        description="file of the callers that have a key or a certificate, made by the command "
        "keys; read again when it changes",
    )
    jwt_keys: Annotated[File | None, Word("FILE")] = Field(
        default=None,
        description="file of the keys that tokens (JWT) are verified with, a JWKS or a public key "
        "as PEM; read again when it changes",
    )
    jwt_issuer: Annotated[str, Word("ISSUER")] = Field(
        default="", description="issuer that a token must be of; no default"
    )
    jwt_audience: Annotated[str, Word("AUDIENCE")] = Field(
        default="orderintake", min_length=1, description="audience that a token must be for"
    )
    jwt_roles_claim: Annotated[str, Word("CLAIM")] = Field(
        default="roles",
        min_length=1,
        description="where a token names the roles of its caller; a.b means b inside a",
    )
    jwt_customer_claim: Annotated[str, Word("CLAIM")] = Field(
        default="customer",
        min_length=1,
        description="where a token names the customer that its caller acts for",
    )
    jwt_leeway: Seconds = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="how much the issuer's clock may differ from this one",
    )
    jwt_longest: Seconds = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="a token that ends later than that from now is refused",
    )

    @property
    def knows_callers(self) -> bool:
        """Whether callers need credentials; otherwise anybody may do everything."""
        return self.access is not None or self.jwt_keys is not None
