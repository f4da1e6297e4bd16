"""TLS of a listening address: the files, what is checked of them, and how new ones come into use without a restart."""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

log = structlog.get_logger("palaver.tls")


class TlsFilesError(ValueError):
    """A certificate, key or CA file cannot be used. The message is one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a server's identity lies, as PEM files."""

    certificate: Path
    """The server's certificate, followed by the intermediate ones."""

    key: Path
    """Its private key, not encrypted. A file that every user of the machine may read or write is refused; one that its
    group may read is not, as that is how Kubernetes (``defaultMode: 0440``) and Debian (``ssl-cert``) hand out keys."""

    client_ca: Path | None = None
    """CA certificates. When set, a client must show a certificate that one of them signed (mutual TLS)."""

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Check and read the files.

        Raises:
            TlsFilesError: one is missing, unreadable or no PEM, the key is open to all, is encrypted, or does not
                belong to the certificate.
        """
        try:
            pair = (self.key.read_bytes(), self.certificate.read_bytes())
            roots = self.client_ca.read_bytes() if self.client_ca else None
            self._check()
        except OSError as error:
            raise TlsFilesError(f"cannot read {error.filename}: {error.strerror}") from error
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def stamp(self) -> tuple[object, ...]:
        """Return what changes when a file does, also when a symbolic link on the way is made to point elsewhere."""
        return tuple(_file_stamp(path) for path in (self.certificate, self.key, self.client_ca) if path)

    def _check(self) -> None:
        if self.key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise TlsFilesError(f"every user of this machine can read or change the key: run chmod 640 {self.key}")

        def refuse_to_ask() -> str:
            raise TlsFilesError(f"the key {self.key} is encrypted: give one without a passphrase")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=refuse_to_ask)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsFilesError(
                    f"the key {self.key} does not belong to the certificate {self.certificate}"
                ) from error
            raise TlsFilesError(
                f"{self.certificate} and {self.key} are not a PEM certificate and its PEM key ({error.reason})"
            ) from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise TlsFilesError(f"{self.client_ca} holds no PEM certificates ({error.reason})") from error


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow their files: a new connection gets what the files hold at that time.

    Connections that are open keep theirs until they end (``ServerLimits.max_connection_age_seconds``). New files that
    cannot be used, or of which only the first has been written, leave the last good ones in force and log a warning.

    Raises:
        TlsFilesError: the files cannot be used.
    """
    rotation = _Rotation(files)
    return grpc.dynamic_ssl_server_credentials(
        rotation.first,
        rotation.newer,  # type: ignore[arg-type]  # None means no change, which the published types leave out
        require_client_authentication=files.client_ca is not None,
    )


class _Rotation:
    """Looks at the files before each handshake. gRPC calls it from threads of its own, not the event loop's."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = files.stamp()  # taken before reading: a change in between is seen next time
        self.first = files.read()
        self._problem = ""

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return None
        # Two handshakes at once may both read the files: that costs a millisecond and changes nothing.
        try:
            configuration = self._files.read()
        except TlsFilesError as error:  # read again at the next handshake, told once
            if self._problem != str(error):
                self._problem = str(error)
                log.warning("new TLS files are not used", problem=self._problem)
            return None
        self._stamp, self._problem = stamp, ""
        log.info("new TLS files are in use", certificate=str(self._files.certificate))
        return configuration


def _file_stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
