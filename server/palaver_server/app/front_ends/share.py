"""What each of several front ends has of the settings, and what they cannot share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from palaver_server.core.limits.shared_buckets import SharedBuckets
from palaver_server.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Place:
    """One front end among those of a server."""

    index: int = 0
    """The first, 0, is the process that was started; it owns what there is once."""
    count: int = 1
    buckets: SharedBuckets | None = None
    """Of the limits of keys, which count once for all; None for a front end that is alone."""

    @property
    def is_first(self) -> bool:
        """The process that was started, and that started the others."""
        return self.index == 0

    @property
    def is_alone(self) -> bool:
        """There is no other."""
        return self.count == 1


ALONE = Place()


def refuse_unshareable(settings: Settings) -> None:
    """See that nothing is asked for that several processes cannot do together.

    Raises:
        SettingsError: it is; the message names the setting.
    """
    count = settings.front_ends
    if count == 1:
        return
    for name, is_set, reason in (
        ("listen", settings.listen.startswith("unix:"), "only a TCP port can be shared; write HOST:PORT"),
        ("audit_dir", settings.audit_dir is not None, "the audit log is one chain, which one process writes"),
        ("load_reports", settings.load_reports != "off", "a report would tell of one process alone"),
        (
            "max_concurrent_requests",
            settings.max_concurrent_requests < count,
            f"each front end needs room for a call; give at least {count}",
        ),
    ):
        if is_set:
            raise SettingsError(f"front_ends: {name} does not go with {count} of them: {reason}.")


def share_of(settings: Settings, index: int) -> Settings:
    """What one front end gets of the room for calls; with only one, all of it."""
    count = settings.front_ends
    if count == 1:
        return settings

    def part(total: int) -> int:
        return total // count + (index < total % count)

    return settings.model_copy(
        update={
            "max_concurrent_requests": part(settings.max_concurrent_requests),
            "max_queued_requests": part(settings.max_queued_requests),
            "max_failed_attempts": max(1, part(settings.max_failed_attempts)),
        }
    )


def settings_of_child(settings: Settings, index: int, *, address: str, edge_socket: Path | None) -> Settings:
    """The settings of a front end that the first one starts.

    Args:
        settings: of the whole server.
        index: which it is.
        address: where the first listens.
        edge_socket: where the first listens to the edge.
    """
    return share_of(settings, index).model_copy(
        update={
            "listen": address,
            "edge_socket": None if edge_socket is None else socket_of(edge_socket, index),
            # There is one of each, and the first has it.
            "internal_socket": None,
            "control_socket": "",
            "health_listen": None,
        }
    )


def socket_of(path: Path, index: int) -> Path:
    """A front end's own socket beside the first one's: ``api.sock``, ``api.1.sock``, ``api.2.sock``."""
    return path if index == 0 else path.with_name(f"{path.stem}.{index}{path.suffix}")
