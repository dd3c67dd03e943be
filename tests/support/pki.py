"""An authority of the test's own, and a server's certificate that it signed, as files."""

import ssl
from pathlib import Path

import grpc
import trustme


class Pki:
    """An authority of the test's own, and the files of a server's certificate."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = directory / "tls.crt", directory / "tls.key"
        self.ca = directory / "ca.crt"
        self.ca.write_bytes(self.authority.cert_pem.bytes())
        self.renew()

    def renew(self) -> bytes:
        """Put another certificate in the files, as careful tools do; give it."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        replace(self.key, issued.private_key_pem.bytes())
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        replace(self.cert, chain)
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    @property
    def arguments(self) -> tuple[str, ...]:
        """What a server is started with."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))

    def credentials(self, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
        """Give those of a client that trusts the authority, and shows its own certificate."""
        roots = self.authority.cert_pem.bytes()
        if client is None:
            return grpc.ssl_channel_credentials(roots)
        (chain,) = client.cert_chain_pems
        return grpc.ssl_channel_credentials(roots, client.private_key_pem.bytes(), chain.bytes())


def replace(path: Path, content: bytes) -> None:
    """Put this into the file's place, whole."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)
