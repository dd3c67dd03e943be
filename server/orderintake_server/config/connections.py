"""The settings of connections: how many and how long, and how they are encrypted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import File, Seconds, Switch, Word
from orderintake_server.domain import LONGEST_SECONDS


class Connections(Sourced):
    """Connections and subscribers."""

    subscriber_timeout: Seconds = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="how long a completion stream waits for a subscriber that reads nothing; "
        "then it ends with SUBSCRIBER_TOO_SLOW, and the subscriber resumes from its cursor",
    )
    max_connection_age: Seconds = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS / 1000,
        description="after this time, 10 % more or less, a client's connection is closed, so that "
        "the client connects anew, perhaps to another server; 0 for never",
    )


class Transport(Sourced):
    """TLS, and who may reach it."""

    tls_cert: Annotated[File | None, Word("FILE")] = Field(
        default=None,
        description="PEM file of the certificate, with its chain: TCP connections must use TLS; "
        "it is read again when it changes, as the two below are",
    )
    tls_key: Annotated[File | None, Word("FILE")] = Field(
        default=None, description="PEM file of the certificate's private key, without a password"
    )
    tls_client_ca: Annotated[File | None, Word("FILE")] = Field(
        default=None,
        description="PEM file of an authority: clients over TCP must show a certificate of its",
    )
    insecure: Switch = Field(
        default=False,
        description="whether other machines may reach it without TLS, or without being known",
    )
