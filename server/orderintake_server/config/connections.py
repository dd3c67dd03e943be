"""The settings of connections: how many and how long, and how they are encrypted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import Count, File, Names, Origins, Seconds, Switch, Word
from orderintake_server.domain import LONGEST_SECONDS


class Connections(Sourced):
    """Connections and subscribers."""

    subscriber_timeout: Seconds = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="how long a stream waits for a caller that reads nothing; then it ends with "
        "SUBSCRIBER_TOO_SLOW, and a subscriber resumes from its cursor",
    )
    max_connection_age: Seconds = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS / 1000,
        description="after this time, 10 % more or less, a client's connection is closed, so that "
        "the client connects anew, perhaps to another server; 0 for never",
    )
    max_connections: Count = Field(
        default=0,
        ge=0,
        le=65_536,
        description="how many connections there may be at once, any more are closed; 0 for as many "
        "as the process may open files for",
    )
    max_streams: Count = Field(
        default=64,
        ge=8,
        le=10_000,
        description="how many calls and streams a connection may have at once; more wait in the "
        "client",
    )
    idle_timeout: Seconds = Field(
        default=600.0,
        ge=0,
        le=LONGEST_SECONDS / 1000,
        description="after so long without a call a connection is closed; 0 for never",
    )
    subscriber_limit: Count = Field(
        default=1_000,
        ge=0,
        le=1_000_000,
        description="how many completion streams, and how many PlaceOrders calls, there may be at "
        "once; any more are refused with TOO_MANY_STREAMS",
    )


class HttpConnections(Sourced):
    """Who may connect by HTTP."""

    http_hosts: Names = Field(
        default=(),
        description="names of this server, as browsers and programs know it: with them it answers "
        "to these and to localhost only; by default to any, or where only this machine reaches it, "
        "to localhost",
    )
    http_origins: Origins = Field(
        default=(),
        description="origins of pages that other servers send and that may call this one, such as "
        "https://shop.example",
    )
    http_connections: Count = Field(
        default=1_000,
        ge=8,
        le=65_536,
        description="how many connections there may be by HTTP at once, any more are closed",
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
