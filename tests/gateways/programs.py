"""Real gateways with the configurations that are shipped: only addresses change, and the switches that READMEs name."""

import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "deploy" / "gateways"
START_SECONDS = 60.0
PASSWORD = "of-a-test"
PEOPLE = ("ann", "bob")
NAMES = ("envoy", "nginx", "caddy", "traefik")


@dataclass(frozen=True)
class Around:
    """Where everything else listens, as host:port."""

    gate: str
    models: str
    fallback: str


@dataclass(frozen=True)
class Gateway:
    """A running one."""

    name: str
    url: str
    log: Path


Switches = Sequence[tuple[str, str]]
"""What to write in place of what."""

FAIL_OPEN: Mapping[str, Switches] = {
    "envoy": [("failure_mode_allow: false", "failure_mode_allow: true")],
    "nginx": [("return 503;", "return 204;")],
    "caddy": [("import gate_away_closed", "import gate_away_open")],
    "traefik": [("# middlewares: [fail-open]", "middlewares: [fail-open]")],
}
AUTHENTICATED = "x-authenticated-user"
"""In these tests, the header of whoever authenticates in front of the gateway."""
_USERS = ", ".join(
    f'"{name}:{{SHA}}{b64encode(sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()}"' for name in PEOPLE
)
WHO = f"    who:\n      basicAuth: {{headerField: X-Principal, removeHeader: true, users: [{_USERS}]}}\n"
SUBJECT = '"%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%"'
PRINCIPALS: Mapping[str, Switches] = {
    "envoy": [
        (
            f"# - append: {{header: {{key: x-principal, value: {SUBJECT}}}}}",
            f'- append: {{header: {{key: x-principal, value: "%REQ({AUTHENTICATED})%"}}}}',
        )
    ],
    "nginx": [('set $principal "";', "set $principal $http_x_authenticated_user;")],
    "caddy": [('vars principal ""', "vars principal {http.request.header.X-Authenticated-User}")],
    "traefik": [
        ("[no-word-of-clients, ask-the-gate", "[no-word-of-clients, who, ask-the-gate"),
        ("    ask-the-gate:\n", f"{WHO}    ask-the-gate:\n"),
    ],
}


def find(name: str) -> str:
    """Return a program beside this interpreter or on the path; without it the test skips, with CI=true it fails."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None and name == "nginx" and Path("/usr/sbin/nginx").is_file():
        found = "/usr/sbin/nginx"
    if found is None:
        reason = f"{name} is not installed: make install brings those from packages, scripts/install-system the others"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (CI=true: nothing may be left out)")
        pytest.skip(reason)
    return found


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def read(path: str, switches: Switches = ()) -> str:
    """Return a shipped file with its switches turned; each must stand in it exactly once."""
    text = (SHIPPED / path).read_text()
    for before, after in switches:
        assert text.count(before) == 1, f"{path} has '{before}' {text.count(before)} times"
        text = text.replace(before, after)
    return text


def _addressed(text: str, around: Around) -> str:
    for name, address in (("lazaretto", around.gate), ("model-server", around.models), ("fallback", around.fallback)):
        text = text.replace(f"{name}:8080", address)
    return text


def _envoy(folder: Path, around: Around, switches: Switches) -> tuple[list[str], int]:
    (port,) = free_ports(1)
    text = read("envoy/envoy.yaml", switches)
    for name, address in (("lazaretto", around.gate), ("model-server", around.models), ("fallback", around.fallback)):
        host, _, number = address.partition(":")
        text = text.replace(f"address: {name}, port_value: 8080", f"address: {host}, port_value: {number}")
    text = text.replace("address: 0.0.0.0, port_value: 8000", f"address: 127.0.0.1, port_value: {port}")
    path = folder / "envoy.yaml"
    path.write_text(text)
    options = ["--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return [find("envoy"), "-c", str(path), *options], port


def _nginx(folder: Path, around: Around, switches: Switches) -> tuple[list[str], int]:
    (port,) = free_ports(1)
    text = _addressed(read("nginx/lazaretto.conf", switches), around)
    (folder / "lazaretto.conf").write_text(text.replace("listen 8000;", f"listen 127.0.0.1:{port};"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"  {kind}_temp_path {folder / kind};" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(
        f"{user}daemon off;\npid {folder / 'nginx.pid'};\nerror_log {folder / 'error.log'} warn;\nworker_processes 1;\n"
        f"events {{}}\nhttp {{\n  access_log off;\n{paths}\n  include {folder / 'lazaretto.conf'};\n}}\n"
    )
    return [find("nginx"), "-c", str(main), "-p", str(folder), "-e", str(folder / "start.log")], port


def _caddy(folder: Path, around: Around, switches: Switches) -> tuple[list[str], int]:
    (port,) = free_ports(1)
    text = _addressed(read("caddy/Caddyfile", switches), around).replace(":8000 {", f"http://127.0.0.1:{port} {{")
    path = folder / "Caddyfile"
    path.write_text(
        f"{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tstorage file_system {folder}\n}}\n{text}"
    )
    return [find("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)], port


def _traefik(folder: Path, around: Around, switches: Switches) -> tuple[list[str], int]:
    port, gate, chosen = free_ports(3)
    routes = _addressed(read("traefik/lazaretto.yaml", switches), around)
    own = {
        '":8000"': f'"127.0.0.1:{port}"',
        "127.0.0.1:8010": f"127.0.0.1:{gate}",
        "127.0.0.1:8011": f"127.0.0.1:{chosen}",
    }
    start = read("traefik/traefik.yaml").replace("lazaretto.yaml\n", f"{folder / 'lazaretto.yaml'}\n", 2)
    for before, after in own.items():
        routes, start = routes.replace(before, after), start.replace(before, after)
    (folder / "lazaretto.yaml").write_text(routes)
    (folder / "traefik.yaml").write_text(start)
    return [find("traefik"), f"--configfile={folder / 'traefik.yaml'}"], port


MAKERS: Mapping[str, Callable[[Path, Around, Switches], tuple[list[str], int]]] = {
    "envoy": _envoy,
    "nginx": _nginx,
    "caddy": _caddy,
    "traefik": _traefik,
}


@contextmanager
def running(name: str, folder: Path, around: Around, switches: Switches = ()) -> Iterator[Gateway]:
    """Run a gateway until the block ends."""
    folder.mkdir(parents=True)
    command, port = MAKERS[name](folder, around, switches)
    log = folder / "output.log"
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        _await_listening(process, port, log)
        yield Gateway(name, f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"it ended: {log.read_text()[-3_000:]}"
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"it does not listen: {log.read_text()[-3_000:]}"
        time.sleep(0.02)
