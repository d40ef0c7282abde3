"""A root folder with nothing in it but the system's own programs, mounted read-only, and namespaces to run in it.

What an engine does with `RUN` and `docker run`, as far as the kernel does it: its own mounts, processes and, while
building, no network. It stands in for the base image by the machine's own /usr and Python.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SYSTEM = ("bin", "sbin", "lib", "lib64")
BASE = Path(sys.base_prefix)
PATH = f"{BASE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ETC = {
    "passwd": "root:x:0:0:root:/:/bin/sh\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "gshadow": "root:*::\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n",
}
START_SECONDS = 60.0
UNPRIVILEGED = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def make_root(path: Path) -> None:
    """Make the folders and files that a base image has."""
    for name in ("usr", "etc", "proc", "dev", "opt", "var/lib", "wheelhouse", str(BASE).lstrip("/")):
        (path / name).mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    (path / "tmp").mkdir()
    (path / "tmp").chmod(0o1777)
    for name in SYSTEM:
        real = Path("/") / name
        if real.is_symlink():
            (path / name).symlink_to(real.readlink())
        elif real.is_dir():
            (path / name).mkdir()
    for name, text in ETC.items():
        (path / "etc" / name).write_text(text)
    for name in ("login.defs", "ld.so.cache"):
        shutil.copy(Path("/etc") / name, path / "etc" / name)


@dataclass(frozen=True)
class Box:
    """How to run in a root: what is mounted, as whom, and what may be written."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    mounts: dict[Path, str] = field(default_factory=dict)
    """Folders of this machine that are mounted read-only in the root."""
    volumes: dict[Path, str] = field(default_factory=dict)
    """Folders that may be written, too."""
    is_read_only: bool = False
    has_network: bool = False

    def command(self, inside: list[str]) -> list[str]:
        """Return the command that runs another one inside, as process 1 of its own namespace."""
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", *([] if self.has_network else ["--net"])]
        script = "\n".join([*self._mounting(), f"cd {self.root}", f"exec {shlex.join(self._entering(inside))}"])
        return ["unshare", *namespaces, "sh", "-ec", script]

    def run(self, inside: list[str], timeout: float) -> None:
        """Run to the end, and show what went wrong."""
        result = subprocess.run(
            self.command(inside),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )
        assert result.returncode == 0, f"{shlex.join(inside)}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"

    def join(
        self, process: "subprocess.Popen[str]", inside: list[str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run beside what runs in the box, as `docker exec` and health checks do."""
        target = str(first_process(process))
        entering = ["nsenter", "--target", target, "--mount", "--pid", "--root", *self._as_user(inside)]
        return subprocess.run(entering, capture_output=True, text=True, timeout=timeout, check=False)

    def _entering(self, inside: list[str]) -> list[str]:
        return ["chroot", str(self.root), *self._as_user(inside)]

    def _as_user(self, inside: list[str]) -> list[str]:
        uid, gid = self.user.split(":")
        dropped = [] if uid == "0" else ["setpriv", f"--reuid={uid}", f"--regid={gid}", *UNPRIVILEGED]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [*dropped, "env", "-i", f"--chdir={self.workdir}", *variables, *inside]

    def _mounting(self) -> list[str]:
        root = shlex.quote(str(self.root))
        steps = ["mount --make-rprivate /", f"mount --bind {root} {root}"]
        system = {Path("/usr"): "/usr"}
        system |= {Path("/") / name: f"/{name}" for name in SYSTEM if not (self.root / name).is_symlink()}
        if not BASE.is_relative_to("/usr"):
            system[BASE] = str(BASE)
        for source, target in (system | self.mounts).items():
            there = shlex.quote(f"{self.root}{target}")
            steps += [f"mount --bind {shlex.quote(str(source))} {there}", f"mount -o remount,bind,ro {there}"]
        steps += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        for source, target in self.volumes.items():
            steps.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(f'{self.root}{target}')}")
        return [*steps, *([f"mount -o remount,bind,ro {root}"] if self.is_read_only else [])]


def first_process(process: "subprocess.Popen[str]") -> int:
    """Return the id, seen from outside, of what is process 1 inside."""
    until = time.monotonic() + START_SECONDS
    while not (children := psutil.Process(process.pid).children()):
        assert time.monotonic() < until, "the namespace has not begun"
        time.sleep(0.02)
    (child,) = children
    return child.pid
