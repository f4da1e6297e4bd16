"""Builds what the settings ask for. Nobody else constructs anything of it."""

from __future__ import annotations

from collections.abc import Sequence

from palaver_server.core.engine import Engine
from palaver_server.engine.scripted_behaviour import ScriptedBehaviour
from palaver_server.engine.scripted_engine import ScriptedEngine
from palaver_server.rpc.listener import is_loopback
from palaver_server.rpc.tls import TlsFiles
from palaver_server.rpc.transport import ServerLimits
from palaver_server.settings import Settings, SettingsError


def new_engine(settings: Settings, vllm_arguments: Sequence[str]) -> Engine:
    """The engine that the settings ask for, not loaded yet."""
    if settings.engine == "scripted":
        return ScriptedEngine(
            ScriptedBehaviour(
                tokens=settings.scripted_tokens,
                first_seconds=settings.scripted_first,
                interval_seconds=settings.scripted_interval,
                load_seconds=settings.scripted_load,
                load_error=settings.scripted_load_error,
                fail_after_tokens=settings.scripted_fail_after,
                hang_after_tokens=settings.scripted_hang_after,
                die_after_tokens=settings.scripted_die_after,
            ),
            model_id=settings.served_model_name or "scripted",
        )
    raise NotImplementedError


def server_limits(settings: Settings) -> ServerLimits:
    """The bounds of the API port."""
    return ServerLimits(
        max_receive_message_bytes=settings.max_request_bytes,
        max_send_message_bytes=settings.max_response_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        max_connections=settings.max_connections,
        max_streams_per_connection=settings.max_streams_per_connection,
        max_concurrent_rpcs=settings.max_calls,
        handshake_timeout_seconds=settings.handshake_timeout,
        keepalive_seconds=settings.keepalive_time,
        keepalive_timeout_seconds=settings.keepalive_timeout,
        min_client_ping_interval_seconds=settings.min_ping_interval,
        max_connection_idle_seconds=settings.max_connection_idle,
        max_connection_age_seconds=settings.max_connection_age,
        max_connection_age_grace_seconds=settings.max_connection_age_grace,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    """The certificate of the API port, where there is one.

    Raises:
        SettingsError: only a part of what TLS needs is set.
    """
    if settings.tls_cert is None and settings.tls_key is None and settings.tls_client_ca is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("TLS needs both --tls-cert and --tls-key.")
    return TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def refuse_careless_listening(settings: Settings) -> None:
    """Beyond loopback only with client certificates, or by an explicit setting.

    Raises:
        SettingsError: the server would answer anybody on the network.
    """
    if settings.allow_unauthenticated or settings.tls_client_ca is not None or is_loopback(settings.listen):
        return
    raise SettingsError(
        f"{settings.listen} can be reached from other machines, and nobody would have to show a key. Listen on "
        "127.0.0.1, ask for client certificates with --tls-client-ca, or say --allow-unauthenticated."
    )
