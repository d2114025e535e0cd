"""The disks whose power can be cut."""

import signal
import subprocess

import pytest

from tests.support.mounts import LAZY, Disk


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_what_was_saved_in_peace_is_there_whoever_else_holds_the_file_system(kind, tmp_path):
    with Disk(kind, tmp_path, options=LAZY if kind == "ext4" else "") as disk:
        (disk.place / "file").write_text("content")
        # a namespace with a copy of all mounts: an unmount here leaves that one as it is
        other = subprocess.Popen(["unshare", "--mount", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
        try:
            other.stdout.readline()
            disk.save(tmp_path / "saved")
            (disk.place / "file").write_text("other")
            disk.restore(tmp_path / "saved")
            disk.cut()
            assert (disk.place / "file").read_text() == "content"
        finally:
            other.send_signal(signal.SIGTERM)
            other.wait()
            other.stdout.close()
