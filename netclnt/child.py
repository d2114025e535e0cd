"""A child process that is there and known, or is not there."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence


class Child(subprocess.Popen[bytes]):
    """A program with unbuffered pipes for its input and output, in a session of its own, so that no signal of a terminal is for
    it; its process group has its number. It inherits ``pass_fds``, and no other descriptor beside its three streams.

    Raises OSError where it cannot be started, and ends it where that is all that went wrong: Popen learns from one more pipe
    whether it came up, and where that cannot be read leaves behind what nobody knows and nobody waits for.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stderr: int,
        env: Mapping[str, str],
        cwd: str | None = None,
        pass_fds: Collection[int] = (),
    ) -> None:
        try:
            super().__init__(
                argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=cwd,
                env=env,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except BaseException:
            if getattr(self, "pid", None) is not None:
                self.kill()
                self.wait()
            raise
