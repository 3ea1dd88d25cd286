"""
A server for benchmarks: Debian's nginx on free loopback ports, with a configuration of its own that is gone afterwards.

Every origin answers every path with a healthy report. It is written in C, so that on a machine with two cores
the server is not what is measured.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: A report that stays healthy during a benchmark.
REPORT = '{"status": "ok", "lastrun": "%s", "frequency": 527040, "process": "import", "server": "%s"}'

_MAIN = """
worker_processes 1;
worker_rlimit_nofile 65536;
daemon off;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 60000; }}
http {{
  log_format times '$msec $uri';
  access_log {log};
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  ssl_session_cache shared:tls:8m;
{servers}}}
"""
_SERVER = """  server {{
    listen 127.0.0.1:{port}{ssl} backlog=16384;
    keepalive_timeout {keep};
    location / {{ return 200 '{report}'; }}
{certificate}  }}
"""


class Origin:
    """
    One of nginx's ports.

    :param tls: whether it speaks TLS.
    :param keep: whether it keeps connections.
    :param fresh: whether every report differs; otherwise all are the same.
    """

    def __init__(self, *, tls: bool = False, keep: bool = True, fresh: bool = False) -> None:
        self.tls = tls
        self.keep = keep
        self.fresh = fresh
        self.port = 0

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"


def version() -> str:
    """The version of nginx; ends the benchmark if nginx is not installed."""
    if shutil.which("nginx") is None:
        sys.exit("nginx is missing; on Debian: apt install nginx-light")
    return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]


@contextmanager
def serving(
    place: Path, origins: Sequence[Origin], *, certificate: Path | None = None, log: Path | None = None
) -> Iterator[None]:
    """
    Run nginx for as long as the context lasts.

    :param place: a directory for its files.
    :param certificate: a PEM file with the key and the certificate of the origins that speak TLS.
    :param log: gets the time and the path of each request, some of them a second late.
    """
    version()
    for origin, port in zip(origins, _free_ports(len(origins)), strict=True):
        origin.port = port
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    pair = f"    ssl_certificate {certificate}; ssl_certificate_key {certificate};\n"
    servers = "".join(
        _SERVER.format(
            port=origin.port,
            ssl=" ssl" if origin.tls else "",
            keep="600s" if origin.keep else "0",
            report=REPORT % (now, "$request_id" if origin.fresh else "web1"),
            certificate=pair if origin.tls else "",
        )
        for origin in origins
    )
    config = place / "nginx.conf"
    config.write_text(
        _MAIN.format(place=place, servers=servers, log="off" if log is None else f"{log} times buffer=64k flush=1s")
    )
    process = subprocess.Popen(["nginx", "-e", str(place / "error.log"), "-c", str(config)])
    try:
        for origin in origins:
            _wait_for(process, origin.port)
        yield
    finally:
        process.terminate()
        process.wait()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("nginx did not start")
