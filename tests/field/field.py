"""Gateways that nobody here wrote, in front of the test server: nginx and haproxy with limits on requests, Caddy, and squid as a
proxy; all over TLS, with 16 and with 64 lanes and 100 agents each. One TAP line for each, with its numbers.

    make test-field      installs what is missing by apt; no part of make test

Programs run in the foreground with a configuration and a folder of their own, and are ended with the test.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import Rig # noqa: E402

PROGRAMS = ("nginx", "haproxy", "caddy", "squid")
AGENTS = 100

NGINX = """daemon off; pid %(dir)s/nginx.pid; error_log stderr crit; worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/fastcgi; uwsgi_temp_path %(dir)s/uwsgi; scgi_temp_path %(dir)s/scgi;
  limit_req_zone $server_name zone=z:1m rate=%(rate)s;
  server {
    listen 127.0.0.1:%(port)d ssl; server_name localhost;
    ssl_certificate %(cert)s; ssl_certificate_key %(cert)s;
    keepalive_requests 50; keepalive_timeout 5s;
    limit_req zone=z burst=%(burst)d nodelay; limit_req_status 429;
    error_page 429 = @limited;
    location @limited { add_header retry-after 1 always; return 429; }
    location / { proxy_pass http://127.0.0.1:%(back)d; proxy_http_version 1.1; proxy_set_header connection "";
                 proxy_buffering off; }
  }
}
"""
HAPROXY = """global
  maxconn 1000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:%(port)d ssl crt %(cert)s
  stick-table type integer size 10 expire 60s store http_req_rate(1s)
  http-request track-sc0 int(1)
  http-request return status 429 hdr retry-after 1 if { sc_http_req_rate(0) gt 20 }
  default_backend b
backend b
  server s 127.0.0.1:%(back)d
"""
CADDY = """{
  admin off
  auto_https off
  storage file_system %(dir)s
}
https://localhost:%(port)d {
  tls %(cert)s %(cert)s
  reverse_proxy 127.0.0.1:%(back)d
}
"""
SQUID = """http_port 127.0.0.1:%(port)d
http_access allow all
pid_filename none
cache_log stdio:%(dir)s/cache.log
access_log none
cache deny all
coredump_dir %(dir)s
hosts_file %(dir)s/hosts
"""


def install():
    missing = [p for p in PROGRAMS if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
    if not missing:
        return
    root = [] if os.getuid() == 0 else ["sudo"]
    apt = root + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"]
    # No service is to be started by its package.
    policy = "/usr/sbin/policy-rc.d"
    if not os.path.exists(policy) and os.getuid() == 0:
        with open(policy, "w") as f:
            f.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    else:
        policy = None
    try:
        subprocess.run(apt[:-1] + ["update"], stdout=subprocess.DEVNULL, check=False)
        subprocess.run(apt + ["install"] + missing, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)
    finally:
        if policy:
            os.unlink(policy)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Gateway:
    """One program, from its configuration to its end."""

    def __init__(self, name, template, *command, **values):
        self.port, self.dir = free_port(), tempfile.mkdtemp(prefix="wf-field-")
        os.chmod(self.dir, 0o777)
        path = os.path.join(self.dir, name + ".conf")
        with open(path, "w") as f:
            f.write(template % dict(values, port=self.port, dir=self.dir))
        with open(os.path.join(self.dir, "hosts"), "w") as f:
            f.write("127.0.0.1 other.example\n")
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin", HOME=self.dir, XDG_DATA_HOME=self.dir)
        self.log = open(os.path.join(self.dir, "output"), "w+")
        self.process = subprocess.Popen([word.replace("CONF", path) for word in command], env=env, cwd=self.dir,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.log.seek(0)
        said = self.log.read()[-600:]
        self.__exit__()
        raise RuntimeError("does not listen: " + said)

    def __exit__(self, *why):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def certificate(folder):
    """For localhost, with its key, in one file: (that, the certificate alone)."""
    key, cert, both = (os.path.join(folder, n) for n in ("key.pem", "cert.pem", "both.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                    "-out", cert], check=True, stderr=subprocess.DEVNULL)
    with open(both, "w") as f:
        f.write(open(cert).read() + open(key).read())
    os.chmod(both, 0o644)
    return both, cert


def measure(rig, lanes, **more):
    before = rig.server.stats()
    done = rig.ask(*["item %d" % i for i in range(AGENTS)], options=["--lanes", str(lanes), "--stats"], timeout=300, **more)
    good = sum("text" in answer for answer in done.value()) if done.code in (0, 3) and done.out else 0
    counted = [l for l in done.err.splitlines() if l.startswith("network: ")]
    sent = int(counted[0].split()[1].replace(",", "")) if counted else 0
    return done, good, sent, max(0, sent - rig.since(before)["requests"])


def cases():
    """name, template, command, values, seconds at most (None: any), refused at most (share)"""
    nginx, haproxy = ("nginx", "-c", "CONF", "-e", "stderr"), ("haproxy", "-db", "-f", "CONF")
    yield "nginx, 20 a second", "nginx", NGINX, nginx, {"rate": "20r/s", "burst": 20}, 10, 0.10
    yield "nginx, 50 a minute, burst 50", "nginx", NGINX, nginx, {"rate": "50r/m", "burst": 50}, 75, None
    yield "haproxy, 20 a second", "haproxy", HAPROXY, haproxy, {}, 10, 0.10
    yield "caddy", "caddy", CADDY, ("caddy", "run", "--config", "CONF", "--adapter", "caddyfile"), {}, 30, 0
    yield "squid as a proxy", "squid", SQUID, ("squid", "-N", "-f", "CONF"), {}, 30, 0


def run(rig, number, name, program, template, command, values, seconds, refused, lanes):
    both, cert = certificate(rig.dir)
    with Gateway(program, template, *command, back=rig.server.ports["http"], cert=both, **values) as gateway:
        if program == "squid": # it alone knows this name; a proxy is never asked for this machine
            port = "https://other.example:%d" % rig.server.ports["otherhost"]
            more = {"env": {"HTTPS_PROXY": "127.0.0.1:%d" % gateway.port}}
        else:
            port, more, rig.server.ca = "https://localhost:%d" % gateway.port, {}, cert
        done, good, sent, no = measure(rig, lanes, port=port, **more)
    well = good == AGENTS and (seconds is None or done.seconds <= seconds) and (refused is None or no <= refused * sent)
    print("%sok %d - %s, %d lanes: %d of %d done in %.1f s, %d requests, %d refused" %
          ("" if well else "not ", number, name, lanes, good, AGENTS, done.seconds, sent, no), flush=True)
    if not well:
        print("".join("# %s\n" % line for line in done.err.splitlines()[-6:]), end="", flush=True)
    return well


def main():
    chosen = [c for c in cases() if not sys.argv[1:] or any(a in c[0] for a in sys.argv[1:])]
    if not chosen:
        sys.exit("field.py: %s: no case has this name; there are: %s" % (" ".join(sys.argv[1:]), ", ".join(c[0] for c in cases())))
    install()
    print("1..%d" % (2 * len(chosen)), flush=True)
    number, well = 0, True
    for case in chosen:
        for lanes in (16, 64):
            number += 1
            rig = Rig("", "http", "otherhost")
            try:
                well = run(rig, number, *case, lanes) and well
            except (RuntimeError, OSError, ValueError) as error:
                print("not ok %d - %s, %d lanes: %s" % (number, case[0], lanes, str(error).replace("\n", " ")), flush=True)
                well = False
            finally:
                rig.close()
    sys.exit(0 if well else 1)


main()
