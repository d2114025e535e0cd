"""What people install, built and used as they do it: sdist and wheel, the Debian package, the single file.

All is made by this system's own Python, of wheels that pip fetches once, by its own configuration; the builds themselves have no
network. The Debian package goes into a root of its own: a file system over this machine's, or with ``--thorough`` over a new
one of debootstrap's, where apt fetches what the package depends on.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import netclnt
from tests.support import cleanroot
from tests.support.cleanroot import CleanRoot, bootstrap, clean_root
from tests.support.documents import FENCE, TOP
from tests.support.images import content
from tests.support.site import Site, digest, good

PYTHON = "/usr/bin/python3"
EPOCH = "1795392000"
SECONDS = 300
"""For a build on a busy machine."""

MAN = {f"man{page[-1]}/{page}" for page in ("netclnt.1", "netclnt.7", "netclnt.toml.5")}
COMPLETIONS = {
    "bash": "/usr/share/bash-completion/completions/netclnt",
    "zsh": "/usr/share/zsh/vendor-completions/_netclnt",
    "fish": "/usr/share/fish/vendor_completions.d/netclnt.fish",
}
STAYS = ("etc/netclnt", "srv/images", "var/lib/netclnt")
"""What people and netclnt itself wrote."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * SECONDS)]


def works(*words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command prints that has to succeed."""
    done = subprocess.run(
        [*map(str, words)],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def installing(way: str) -> list[list[str]]:
    """The commands in the README for one way to install, as words, without ``sudo`` and what apt is to fetch."""
    section = re.split(r"^## ", (TOP / "README.md").read_text(), flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith("Install\n"))
    (fence,) = (fence for fence in FENCE.findall(text) if way in fence)
    commands = [shlex.split(line.removeprefix("sudo ")) for line in fence.splitlines()]
    return [words for words in commands if words[:2] != ["apt", "install"] or "/" in words[2]]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of this system's Python that can build, beside the wheels of all that the builds need."""
    have = subprocess.run([PYTHON, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"], check=False)
    if have.returncode:
        pytest.skip(f"{PYTHON} is older than 3.11, or cannot make environments (python3-venv)")
    top = tmp_path_factory.mktemp("tools")
    works(PYTHON, "-m", "venv", top / "venv")
    needs = ["build", "hatchling", "pex"]
    works(top / "venv/bin/pip", "wheel", "--quiet", "--wheel-dir", top / "wheels", TOP, *needs)
    for own in (top / "wheels").glob("netclnt-*"):
        own.unlink()
    works(top / "venv/bin/pip", "install", "--quiet", "build", "hatchling", env=offline(top))
    return top


def offline(tools: Path) -> dict[str, str]:
    """An environment in which pip takes what is in ``wheels``, and builds are the same each time."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "HOME") if name in os.environ}
    pip = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tools / "wheels"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",
    }
    deb = {"DPKG_DEB_COMPRESSOR_LEVEL": "0", "DEBFULLNAME": "tester of netclnt", "DEBEMAIL": "tester@localhost"}
    return kept | pip | deb | {"SOURCE_DATE_EPOCH": EPOCH, "PYTHON": PYTHON, "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def distributions(tools: Path) -> Path:
    """The directory with the sdist, and with the wheel that was built of it."""
    python = tools / "venv/bin/python"
    works(python, "-m", "build", "--no-isolation", "--outdir", tools / "dist", TOP, env=offline(tools))
    return tools / "dist"


@pytest.fixture(scope="module")
def deb(tools: Path) -> Path:
    """The package as ``packaging/build-deb`` makes it."""
    if shutil.which("dh") is None:
        pytest.skip("debhelper is not installed")
    (path,) = works(TOP / "packaging/build-deb", tools / "deb", env=offline(tools)).splitlines()
    return Path(path)


@pytest.fixture
def time_to_spare(request: pytest.FixtureRequest) -> None:
    """For a test of tests/packages.sh alone."""
    if not request.config.getoption("--thorough"):
        pytest.skip("takes its time: --thorough")


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CleanRoot]:
    try:
        thorough = request.config.getoption("--thorough")
        lower = bootstrap(tmp_path, "ca-certificates", "man-db", "bash-completion") if thorough else Path("/")
        (tmp_path / "mounted").mkdir()
        with clean_root(tmp_path / "mounted", lower=lower) as made:
            if thorough:
                made.good("apt-get", "update")
            yield made
    except cleanroot.Missing as missing:
        pytest.skip(str(missing))


def test_sdist_and_wheel_have_all_that_belongs_to_them(distributions: Path, tools: Path, tmp_path: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    (wheel,) = distributions.glob("*.whl")
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
        described = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert described is not None
        packed = described.read()
    assert {"pyproject.toml", "LICENSE", ".ci/run", "tests/run.sh", "packaging/build-deb", "packaging/debian/rules"} <= sources
    assert {f"man/{page.partition('/')[2]}" for page in MAN} <= sources
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name) for name in names if name.endswith(".dist-info/METADATA"))
    data = f"netclnt-{netclnt.__version__}.data/data/share/"
    assert {name.split("/")[0] for name in names} == {"netclnt", data.split("/")[0], f"netclnt-{netclnt.__version__}.dist-info"}
    assert {name.removeprefix(f"{data}man/") for name in names if "/man/" in name} == MAN
    assert {name for name in sources if name.startswith("netclnt/")} == {name for name in names if name.startswith("netclnt/")}
    examples = {name.partition("/doc/netclnt/")[2] for name in names if "/doc/netclnt/" in name}
    assert examples == {name for name in sources if name.startswith("examples/")}
    assert metadata == packed
    told = Metadata.from_email(metadata, validate=True)
    assert (told.name, str(told.version), told.description_content_type) == ("netclnt", netclnt.__version__, "text/markdown")
    assert (told.license_expression, told.license_files) == ("Apache-2.0", ["LICENSE"])

    python = tools / "venv/bin/python"
    works(python, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, TOP, env=offline(tools))
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()  # built of the tree, not of the sdist


@pytest.mark.usefixtures("time_to_spare")
def test_pip_installs_it_as_the_readme_says(tools: Path, make_site: Callable[..., Site], tmp_path: Path) -> None:
    place, local = tmp_path / "opt", tmp_path / "local"
    for directory in ("bin", "share"):
        (local / directory).mkdir(parents=True)
    for words in installing("-m venv"):
        moved = [word.replace("/opt/netclnt", str(place)).replace("/usr/local", str(local)) for word in words]
        works(PYTHON if moved[0] == "python3" else moved[0], *moved[1:], env=offline(tools), cwd=TOP)
    assert works(local / "bin/netclnt", "--version") == f"netclnt {netclnt.__version__}\n"
    assert {str(path.relative_to(local / "share/man")) for path in (local / "share/man").rglob("netclnt*")} == MAN
    assert (place / "share/doc/netclnt/examples/sshd_config.netclnt").exists()
    publish_and_sync(make_site(program=[str(local / "bin/netclnt")]))


def test_the_single_file_works_alone_under_another_home(tools: Path, make_site: Callable[..., Site], tmp_path: Path) -> None:
    ((build,), (_, *words, _)) = installing("build-single-file")
    (made,) = works(TOP / build, tools / "single", env=offline(tools)).splitlines()
    (tmp_path / "bin").mkdir()
    works("install", *words[:-1], made, tmp_path / "bin/netclnt")
    site = make_site(
        program=[str(tmp_path / "bin/netclnt")], environment={"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    )
    publish_and_sync(site)
    written = good(site.slave("service", "install", "--timer", "--dry-run")).out
    assert f"\nExecStart={tmp_path / 'bin/netclnt'} " in written
    assert {path.name for path in (tmp_path / "home").iterdir()} == {".cache"}
    (unpacked,) = (tmp_path / "home/.cache/pex/venvs").glob("*/*/*/bin/python")
    assert works(unpacked, "-P", "-m", "netclnt", "--version")  # as `netclnt service` starts each sync


def publish_and_sync(site: Site) -> None:
    """Large enough for the second process that digests beside a sync."""
    for words in ("first", "second"):
        image = site.put("image", content(words, 20 << 20))
        site.publish(image)
        assert site.sync().one("summary")["images_changed"] == 1
        assert digest(site.root / "image") == digest(image)
    assert site.sync().one("summary")["images_changed"] == 0


@pytest.mark.usefixtures("time_to_spare")
@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_nothing_wrong_with_the_deb(deb: Path) -> None:
    root = ["--allow-root"] * (os.geteuid() == 0)
    host = "bogus-mail-host,bogus-mail-host-in-debian-changelog"  # of whoever builds it here
    assert works("lintian", *root, "--fail-on", "error,warning", "--suppress-tags", host, deb) == ""


@pytest.mark.usefixtures("time_to_spare")
def test_each_build_of_the_deb_makes_the_same_bytes(deb: Path, tools: Path) -> None:
    (again,) = works(TOP / "packaging/build-deb", tools / "again", env=offline(tools)).splitlines()
    assert Path(again).read_bytes() == deb.read_bytes()


def test_the_deb_from_its_install_to_its_purge(deb: Path, root: CleanRoot, make_site: Callable[..., Site]) -> None:
    root.put(deb, f"/tmp/dist/{deb.name}", mode=0o644)
    install = f"/tmp/dist/{deb.name}"
    (_, (*words, packages)) = installing("build-deb")
    assert Path(packages).match("dist/netclnt_*.deb")
    root.good("apt-get", *words[1:], "-y", install)
    assert root.good("netclnt", "--version") == f"netclnt {netclnt.__version__}\n"
    assert not [*root.changed.glob("etc/systemd/system/**/netclnt*"), *root.changed.glob("etc/netclnt/*")]
    for page in MAN:
        assert root.good("man", "-w", page[-1], page.partition("/")[2][:-2]) == f"/usr/share/man/{page}.gz\n"
    assert "netclnt" in root.good("bash", "-c", f"source {COMPLETIONS['bash']}; complete -p netclnt")
    for shell, path in COMPLETIONS.items():
        assert (root.top / path[1:]).read_text() == root.good("netclnt", "completion", shell)
    assert (root.top / "usr/share/doc/netclnt/examples/sshd_config.netclnt").exists()
    assert "backports.zstd\t" in (root.top / "usr/share/doc/netclnt/bundled").read_text()

    site = make_site()
    image = site.put("image", content("first", 2 << 20))
    site.publish(image)
    set_up(root, site)
    (start,) = re.findall(r"^ExecStart=(.*)$", unit(root, "netclnt-sync.service"), re.MULTILINE)
    assert root.good(*start.split()) == ""
    assert digest(root.top / "srv/images/image") == digest(image)

    before = {path: path.read_bytes() for path in (root.top / "etc/netclnt").iterdir()}
    site.publish(site.put("image", content("second", 2 << 20)))
    root.good("apt-get", "install", "-y", "--reinstall", install)
    assert {path: path.read_bytes() for path in (root.top / "etc/netclnt").iterdir()} == before
    assert root.good(*start.split()) == ""
    assert digest(root.top / "srv/images/image") == digest(image)
    assert root.good("/usr/lib/netclnt/bin/python3", "-P", "-m", "netclnt", "--version")  # as `netclnt service` starts each sync

    root.good("apt-get", "remove", "-y", "netclnt")
    assert root.run("netclnt", "--version").returncode == 127
    root.good("apt-get", "purge", "-y", "netclnt")
    (root.top / install[1:]).unlink()
    assert own_files(root) == set(STAYS)
    assert {path: path.read_bytes() for path in (root.top / "etc/netclnt").iterdir()} == before


def set_up(root: CleanRoot, site: Site) -> None:
    """A slave in the places that the package's units know."""
    root.put(site.sshd.identity, "/etc/netclnt/key", mode=0o600)
    root.put(site.sshd.known_hosts, "/etc/netclnt/known_hosts", mode=0o644)
    (root.top / "srv").mkdir(exist_ok=True)
    where = ["--catalog", "store", "--parent", site.parent, "--root", "/srv/images"]
    keys = ["--identity", "/etc/netclnt/key", "--known-hosts", "/etc/netclnt/known_hosts"]
    root.good("netclnt", "init", "slave", "--name", "store-0815", *where, *keys)


def unit(root: CleanRoot, name: str) -> str:
    (path,) = (line for line in root.good("dpkg", "-L", "netclnt").splitlines() if line.endswith(f"/system/{name}"))
    return root.good("cat", path)


def own_files(root: CleanRoot) -> set[str]:
    """What is left of the package, and what belongs to it: the topmost paths."""
    left = set()
    for directory, names, files in os.walk(root.changed):
        for name in [*names, *files]:
            path = (Path(directory) / name).relative_to(root.changed)
            if ("netclnt" in name or str(path) in STAYS) and not is_whiteout(root.changed / path):
                left.add(str(path))
        names[:] = [name for name in names if str((Path(directory) / name).relative_to(root.changed)) not in left]
    return left


def is_whiteout(path: Path) -> bool:
    """What overlayfs keeps of a file that was deleted: a character device 0, 0."""
    return path.is_char_device() and path.lstat().st_rdev == 0
