"""What known_hosts says of the key that a server shows now, and what it would say once that key is trusted."""

from __future__ import annotations

from pathlib import Path

from netclnt.errors import HostKeyChanged
from netclnt.sftp import hostkeys, identity
from netclnt.sftp.address import Parent
from netclnt.sftp.hostkeys import Verdict
from netclnt.sftp.identity import Login
from netclnt.sftp.shown import ShownKey


class HostTrust:
    """``path`` is the known_hosts file that a newly trusted key belongs into. Writes nothing."""

    def __init__(self, parent: Parent, login: Login, shown: ShownKey, *, path: Path) -> None:
        self._parent = parent
        self._login = login
        self.shown = shown
        self.path = path

    @property
    def verdict(self) -> Verdict:
        """As a login would judge it."""
        if self._login.host_key is not None:
            return Verdict.KNOWN if self._login.host_key == self.shown.fingerprint else Verdict.CHANGED
        known = list(hostkeys.parse(identity.read_known_hosts(self._login.known_hosts_files)))
        verdict = hostkeys.judge_name(known, self.shown.hosts, self.shown.key)
        if verdict is Verdict.UNKNOWN:
            return hostkeys.judge(known, self._parent.host, self._parent.port, self.shown.key)
        return verdict

    def text(self, *, replace: bool) -> str:
        """The file's text with the key in it, all else as it is, bytes that are no UTF-8 as ``surrogateescape`` has them;
        ``replace`` takes out what else is known for the host.

        Raises BadArgument where that is of other hosts too, and HostKeyChanged for a revoked key, which nothing makes good.
        """
        text = identity.read_known_hosts([self.path])
        if replace:
            text = hostkeys.without_host(text, self.shown.hosts)
        new = hostkeys.with_key(text, self.shown.hosts, self.shown.type, self.shown.key)
        # other files may revoke the key, which logins will not read any more once there is this one
        everything = f"{new}{identity.read_known_hosts(self._login.known_hosts_files)}"
        if hostkeys.judge_name(hostkeys.parse(everything), self.shown.hosts, self.shown.key) is not Verdict.KNOWN:
            raise HostKeyChanged(address=str(self._parent), fingerprint=self.shown.fingerprint, known_hosts=str(self.path))
        return new
