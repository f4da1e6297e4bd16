"""Builds what the settings ask for. Nobody else constructs anything of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from palaver_server.app.front_ends.share import ALONE, Place
from palaver_server.app.model_files import find_model, model_id
from palaver_server.core.context import ContextOverflow
from palaver_server.core.engine import Engine, ReportProgress
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.load import Load
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.policy import EnginePolicy, FormLimits
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.rpc.listener import is_loopback
from palaver_server.rpc.tls import TlsFiles
from palaver_server.rpc.transport import ServerLimits
from palaver_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from palaver_server.rpc.load_report import LoadReports


def new_engine(
    settings: Settings,
    vllm_arguments: Sequence[str],
    *,
    place: Place = ALONE,
    invitation: Awaitable[Mapping[str, str]] | None = None,
    running_elsewhere: Callable[[], int] = lambda: 0,
) -> Engine:
    """The engine that the settings ask for, not loaded yet.

    Args:
        settings: what it shall be.
        vllm_arguments: flags for vLLM.
        place: which front end asks; the first has the engine, the others join it.
        invitation: for those others, what the first one's engine tells them.
        running_elsewhere: for the first, how many answers the engine writes for the others.
    """
    if settings.engine == "scripted":
        return ScriptedEngine(
            _behaviour(settings),
            model_id=settings.served_model_name or "scripted",
            policy=_policy(settings),
        )
    return VllmEngine(
        partial(find_model, settings) if invitation is None else partial(_model_of, invitation),
        model_id=model_id(settings),
        stall_seconds=settings.engine_stall,
        flags=(*flags_from_table(settings.vllm), *vllm_arguments),
        policy=_policy(settings),
        front_ends=place.count,
        running_elsewhere=running_elsewhere,
        invitation=invitation,
        index=place.index,
    )


async def _model_of(invitation: Awaitable[Mapping[str, str]], _: ReportProgress) -> str:
    return (await invitation)["model"]


def _behaviour(settings: Settings) -> ScriptedBehaviour:
    try:
        return ScriptedBehaviour(
            tokens=settings.scripted_tokens,
            answer=settings.scripted_answer,
            first_seconds=settings.scripted_first,
            interval_seconds=settings.scripted_interval,
            load_seconds=settings.scripted_load,
            load_error=settings.scripted_load_error,
            kv_cache_tokens=settings.scripted_kv_tokens,
            fail_after_tokens=settings.scripted_fail_after,
            hang_after_tokens=settings.scripted_hang_after,
            die_after_tokens=settings.scripted_die_after,
        )
    except ValueError as error:
        raise SettingsError(f"scripted_{error}") from None


def _policy(settings: Settings) -> EnginePolicy:
    return EnginePolicy(
        max_coalescing_seconds=settings.coalescing_delay,
        defaults=GenerationOptions(
            max_output_tokens=settings.default_max_output_tokens,
            temperature=settings.default_temperature,
            top_p=settings.default_top_p,
            top_k=settings.default_top_k,
            repetition_penalty=settings.default_repetition_penalty,
        ),
        shares_prefix_cache=settings.share_prefix_cache,
        context_overflow=ContextOverflow(settings.context_overflow),
        max_output_tokens=settings.max_output_tokens,
        form_limits=FormLimits(
            max_bytes=settings.max_form_bytes,
            compile_seconds=settings.form_compile_time,
            compile_mib=settings.form_compile_memory,
        ),
    )


def flags_from_table(table: Mapping[str, object]) -> list[str]:
    """The settings' table of vLLM's arguments as the flags that vLLM's own command line takes.

    A boolean is a bare flag (``enforce-eager = true``), or ``--no-...`` where it is false; a list repeats its values.
    """
    flags: list[str] = []
    for name, value in table.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list):
            flags += [flag, *(str(item) for item in value)]
        elif isinstance(value, dict):
            flags += [flag, json.dumps(value)]
        else:
            flags += [flag, str(value)]
    return flags


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


def load_reports(settings: Settings, load: Load) -> LoadReports | None:
    """What load balancers are told, where the settings say that they are.

    Raises:
        SettingsError: the protocol's messages are not installed.
    """
    wanted = settings.load_reports
    if wanted == "off":
        return None
    try:
        from palaver_server.rpc.load_report import LoadReports  # noqa: PLC0415  # nobody else pays for it
    except ModuleNotFoundError as error:
        raise SettingsError("load_reports needs Envoy's messages: pip install 'palaver[edge]'.") from error
    return LoadReports(load, has_trailers=wanted in ("trailers", "all"), has_stream=wanted in ("stream", "all"))


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
    """Beyond loopback only with keys, with client certificates, or by an explicit setting.

    Raises:
        SettingsError: the server would answer anybody on the network.
    """
    if settings.tls_client_ca is None:
        _refuse_strangers(settings, settings.listen, "--tls-client-ca")


def refuse_careless_edge(settings: Settings) -> None:
    """The same for the edge's TLS port.

    Raises:
        SettingsError: the edge would answer anybody on the network.
    """
    if settings.edge_client_ca is None:
        _refuse_strangers(settings, settings.edge_listen, "--edge-client-ca")


def _refuse_strangers(settings: Settings, listen: str, client_ca_flag: str) -> None:
    if settings.allow_unauthenticated or is_loopback(listen) or KeyFile(settings.keys_path).exists():
        return
    raise SettingsError(
        f"{listen} can be reached from other machines, and nobody would have to show a key. Make a key with `palaver "
        f"keys create --client NAME`, listen on 127.0.0.1, ask for client certificates with {client_ca_flag}, or say "
        "--allow-unauthenticated."
    )
