"""The settings that tell who may call: keys, certificates, and the tokens of an issuer."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from orderintake_server.config.values import File


class CallerSettings(BaseSettings):
    """Who may call; when neither file is named, anybody may do everything."""

    access: File | None = Field(
        default=None,
        description="file of the callers that have a key or a certificate, made by the command "
        "keys; read again when it changes",
    )
    jwt_keys: File | None = Field(
        default=None,
        description="file of the keys that tokens (JWT) are verified with, a JWKS or a public key "
        "as PEM; read again when it changes",
    )
    jwt_issuer: str = Field(default="", description="issuer that a token must be of; no default")
    jwt_audience: str = Field(
        default="orderintake", min_length=1, description="audience that a token must be for"
    )
    jwt_roles_claim: str = Field(
        default="roles",
        min_length=1,
        description="where a token names the roles of its caller; a.b means b inside a",
    )
    jwt_customer_claim: str = Field(
        default="customer",
        min_length=1,
        description="where a token names the customer that its caller acts for",
    )
    jwt_leeway: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds that the issuer's clock may differ from this one",
    )
    jwt_longest: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        allow_inf_nan=False,
        description="seconds: a token that ends later than that from now is refused",
    )

    @property
    def knows_callers(self) -> bool:
        """Whether callers need credentials; otherwise anybody may do everything."""
        return self.access is not None or self.jwt_keys is not None
