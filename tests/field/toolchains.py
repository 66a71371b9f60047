"""Real toolchains in the jail: what builds in the user's shell builds in a command, without network, with what lies in HOME, and a
second command finds what the first one has cached. One TAP line for each way to run and each toolchain, with times.

    make test-field T=toolchains      as root; installs what is missing by apt; no part of make test

What builds need is got before, outside of any jail; of registries only npm's is asked. Ways to run:
  user         in namespaces of one's own: HOME is an overlay
  root         the same as root
  container    as root, in a root folder that is an overlay, as engines make them: the layer is in memory
  docker       as a user without namespaces and mounts, as Docker's filter has it: HOME is read-only
"""
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

WF = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "wf"))
PATH = "/usr/local/bin:/usr/bin:/bin"
PACKAGES = {"cargo": ["rustc", "cargo"], "go": ["golang-go"], "npm": ["npm"], "mvn": ["maven"], "ccache": ["ccache", "gcc"],
            "pip3": ["python3-pip", "python3-venv"], "git": ["git"], "unshare": ["util-linux"]}
NOBODY = 65534

SCRIPT = """meta = { name = "toolchains", description = "Run commands" }
local out = {}
for i, c in ipairs(args.commands) do
  local r, e = exec({ "/bin/bash", "-c", c })
  out[i] = r or { code = -1, out = "", err = tostring(e) }
end
return json.array(out)
"""

JAVA = "public class A { public static void main(String[] a) { System.out.println(1); } }\n"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<properties><maven.compiler.source>11</maven.compiler.source><maven.compiler.target>11</maven.compiler.target></properties>
</project>
"""

# What the user has in HOME, by the ways of each toolchain, made here: of registries only npm's is needed.
CRATE = ("mkdir -p ~/.cargo/vendor/dep/src && cd ~/.cargo && printf '[source.crates-io]\\nreplace-with = \"mine\"\\n[source.mine]\\n"
         "directory = \"%s\"\\n' $HOME/.cargo/vendor >config.toml && cd vendor/dep && echo '{\"files\":{}}' >.cargo-checksum.json && "
         "printf '[package]\\nname = \"dep\"\\nversion = \"1.0.0\"\\n' >Cargo.toml && echo 'pub fn seven() -> u8 { 7 }' >src/lib.rs")
MODULE = """import os, zipfile
p = os.path.expanduser("~/proxy/example.org/q/@v/")
os.makedirs(p)
mod = "module example.org/q\\n"
open(p + "list", "w").write("v1.0.0\\n")
open(p + "v1.0.0.info", "w").write('{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}')
open(p + "v1.0.0.mod", "w").write(mod)
with zipfile.ZipFile(p + "v1.0.0.zip", "w") as z:
    z.writestr("example.org/q@v1.0.0/go.mod", mod)
    z.writestr("example.org/q@v1.0.0/q.go", "package q\\n\\nfunc Seven() int { return 7 }\\n")
"""
WHEEL = """import os, zipfile
os.makedirs(os.path.expanduser("~/w"))
with zipfile.ZipFile(os.path.expanduser("~/w/fieldmod-1.0-py3-none-any.whl"), "w") as z:
    z.writestr("fieldmod.py", "seven = 7\\n")
    z.writestr("fieldmod-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: fieldmod\\nVersion: 1.0\\n")
    z.writestr("fieldmod-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr("fieldmod-1.0.dist-info/RECORD", "")
"""
COMPILE = "org.apache.maven.plugins:maven-compiler-plugin:$(ls ~/.m2/repository/org/apache/maven/plugins/maven-compiler-plugin | " \
          "sort -V | tail -1):compile"
PIP = "pip3 install -q --user --break-system-packages --no-index -f ~/w"

# name: files of the workspace, what the user has done before, the build, what a second command must find
TOOLCHAINS = {
    "cargo": ({"c/Cargo.toml": "[package]\nname='c'\nversion='0.1.0'\nedition='2018'\n[dependencies]\ndep='1.0.0'\n",
               "c/src/main.rs": "fn main() { println!(\"{}\", dep::seven()); }\n"}, CRATE,
              "cd c && rm -rf target && cargo build -q --offline && ./target/debug/c",
              "cd c && touch src/main.rs && cargo run -q --offline"),
    "rustup's proxies": ({}, "mkdir -p ~/.cargo/bin ~/.rustup && echo stable >~/.rustup/settings && printf "
                             "'#!/bin/sh\\ngrep -q stable \"${RUSTUP_HOME:-$HOME/.rustup}/settings\" && echo proxy\\n' "
                             ">~/.cargo/bin/proxy && chmod +x ~/.cargo/bin/proxy", "~/.cargo/bin/proxy", "~/.cargo/bin/proxy"),
    "go": ({"g/go.mod": "module g\n\ngo 1.19\n\nrequire example.org/q v1.0.0\n", "module.py": MODULE,
            "g/main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"example.org/q\"\n)\n\nfunc main() { fmt.Println(q.Seven()) }\n"},
           "python3 module.py && cd g && export GOPROXY=file://$HOME/proxy GONOSUMDB='*' && go mod tidy && go build -o /dev/null .",
           "cd g && GOPROXY=off go build -o g . && ./g", "cd g && rm g && GOPROXY=off go build -o g . && ./g"),
    "npm": ({"n/package.json": "{\"name\":\"n\",\"version\":\"1.0.0\",\"dependencies\":{\"is-number\":\"7.0.0\"}}\n"},
            "cd n && npm install --no-fund --no-audit && rm -rf node_modules",
            "cd n && npm ci --offline --no-fund --no-audit && node -e 'console.log(require(\"is-number\")(5))'",
            "cd n && npm ci --offline --no-fund --no-audit"),
    "maven": ({"m/pom.xml": POM, "m/src/main/java/A.java": JAVA}, "mkdir -p ~/.m2 && cp -rL /usr/share/maven-repo ~/.m2/repository",
              "cd m && mvn -o -q %s && ls target/classes/A.class" % COMPILE,
              "cd m && rm -rf target && mvn -o -q %s && ls target/classes/A.class" % COMPILE),
    "pip": ({"wheel.py": WHEEL}, "python3 wheel.py && %s fieldmod" % PIP,
            "python3 -c 'import fieldmod; print(fieldmod.seven)' && python3 -m venv v && "
            "v/bin/pip install -q --no-index -f ~/w fieldmod && cp ~/w/fieldmod-1.0-py3-none-any.whl $TMPDIR/ && "
            "%s --ignore-installed --no-deps fieldmod" % PIP,
            "v/bin/python -c 'import fieldmod; print(fieldmod.seven)' && python3 -c 'import fieldmod'"),
    "ccache": ({"x/x.c": "int main(void) { return 0; }\n"}, "true",
               "cd x && ccache gcc -c x.c -o x.o && echo built",
               "cd x && ccache -z >/dev/null && ccache gcc -c x.c -o x.o && ccache -s | grep -Ei 'hits: *1|hit.* 1$'"),
    "git": ({}, "git config --global user.name Field && git config --global user.email f@there.example",
            "git config user.name && cd $TMPDIR && git init -q r && cd r && echo x >f && git add f && git commit -qm c && "
            "git log --format=%an", "git config user.email"),
    "java's temporary files": ({"j/A.java": "public class A { public static void main(String[] a) throws Exception { "
                                            "System.out.println(java.io.File.createTempFile(\"abc\", \"d\").exists()); } }\n"},
                               "true", "cd j && java A.java", "cd j && java A.java"),
}
NOT_IN_DOCKER = {"java's temporary files": "/tmp cannot be its own without mounts"}


def install():
    missing = [p for name, packages in PACKAGES.items() if not shutil.which(name, path=PATH) for p in packages]
    if not os.path.isdir("/usr/share/maven-repo/org/apache/maven/plugins/maven-compiler-plugin"):
        missing += ["libmaven-compiler-plugin-java", "junit5"] # Maven reads a description of the latter
    if not missing:
        return
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    apt = ["apt-get", "-qq", "-y", "--no-install-recommends"]
    subprocess.run(apt[:-1] + ["update"], stdout=subprocess.DEVNULL, env=env, check=False)
    subprocess.run(apt + ["install"] + missing, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env, check=False)


def deny_spaces():
    """A filter as Docker has it: no namespaces, no mounts. For who is not root, before exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    load, jump, result = 0x20, 0x15, 0x06
    bits = 0x40 # BPF_JSET
    rules = [(load, 0, 0, 0)]
    denied = {"x86_64": (272, 165, 428, 429, 442, 166, 435), "aarch64": (97, 40, 428, 429, 442, 39, 435)}[os.uname().machine]
    clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    for number in denied:
        error = 38 if number == 435 else 1 # clone3: ENOSYS, so that libraries take clone
        rules += [(jump, 0, 1, number), (result, 0, 0, 0x00050000 | error)]
    rules += [(jump, 0, 3, clone), (load, 0, 0, 16), (0x05 | bits, 0, 1, 0x7E020000), (result, 0, 0, 0x00050001)]
    rules += [(result, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    room = ctypes.create_string_buffer(program)
    fprog = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(room))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.c_char_p(fprog), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter")


class Way:
    """One way to run, with a home and a workspace of its own in it."""

    def __init__(self, name):
        self.name, self.user = name, name in ("user", "docker")
        self.base = tempfile.mkdtemp(prefix="wf-field-", dir="/var/lib")
        os.chmod(self.base, 0o755)
        self.home, self.work = os.path.join(self.base, "home"), os.path.join(self.base, "home", "work")
        os.makedirs(self.work)
        self.wf = os.path.join(self.base, "wf")
        self.filter = os.path.join(self.base, "filter.py")
        shutil.copy(WF, self.wf)
        shutil.copy(os.path.abspath(__file__), self.filter)
        self.put("run.lua", SCRIPT)
        self.put("model.lua", "return function() return { text = \"\" } end\n")
        self.env = {"HOME": self.home, "PATH": PATH, "LANG": "C.UTF-8", "GOFLAGS": "-mod=mod", "USER": "field",
                    "MAVEN_OPTS": "-Duser.home=" + self.home}

    def put(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def before(self, command):
        """In the user's shell, with network; then all is theirs."""
        done = subprocess.run(["/bin/bash", "-c", command], cwd=self.work, env=dict(os.environ, **self.env), capture_output=True, text=True,
                              timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError("preparing: " + (done.stdout + done.stderr)[-600:])

    def own(self):
        if self.user:
            subprocess.run(["chown", "-R", "%d:%d" % (NOBODY, NOBODY), self.home], check=True)

    def argv(self, command):
        """The command without network, and as this way has it."""
        if self.name == "docker":
            command = ["python3", self.filter, "--without-spaces"] + command
        if self.user:
            command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"] + command
        if self.name != "container":
            return ["unshare", "-n"] + command
        folder = os.path.join(self.base, "root")
        setup = ("mkdir -p %(f)s/u %(f)s/r && mount -t tmpfs none %(f)s/u && mkdir %(f)s/u/u %(f)s/u/w && "
                 "mount -t overlay overlay -o lowerdir=/,upperdir=%(f)s/u/u,workdir=%(f)s/u/w %(f)s/r && "
                 "for d in proc dev sys; do mount --rbind /$d %(f)s/r/$d; done && exec /usr/sbin/chroot %(f)s/r sh -c 'cd \"$0\" && exec \"$@\"' "
                 "%(w)s \"$@\"") % {"f": folder, "w": self.work}
        return ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", setup, "sh"] + command

    def jailed(self, commands):
        """Results of the commands, in one run; and what it said of the sandbox."""
        command = [self.wf, "run", "run.lua", "--yes", "--model", "rules:model.lua", "--allow", "read,exec", "--args",
                   json.dumps({"commands": commands})]
        done = subprocess.run(self.argv(command), cwd=self.work, env=self.env, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise RuntimeError((done.stdout + done.stderr)[-800:])
        return json.loads(done.stdout), next((l for l in done.stderr.splitlines() if l.startswith("sandbox: ")), "")

    def shell(self, command):
        return subprocess.run(self.argv(["/bin/bash", "-c", command]), cwd=self.work, env=self.env, capture_output=True, text=True,
                              timeout=600, check=False)

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)


def timed(command):
    return "t=$(date +%%s%%N); (%s); c=$?; echo \"ms $((($(date +%%s%%N) - t) / 1000000))\"; exit $c" % command


def ms(text):
    return int(text.split("ms ")[-1].split()[0]) if "ms " in text else -1


class Tap:
    def __init__(self):
        self.number, self.well = 0, True

    def line(self, well, text, detail=""):
        self.number += 1
        self.well = self.well and well
        print("%sok %d - %s" % ("" if well else "not ", self.number, text), flush=True)
        if not well:
            print("".join("# %s\n" % line for line in detail.splitlines()[-8:]), end="", flush=True)


def survey(folder):
    """All files but the workspace and what wf itself remembers."""
    out = subprocess.run(["find", folder, "-path", "*/home/work", "-prune", "-o", "-type", "f", "-printf", "%p %s %T@\n"],
                         capture_output=True, text=True, check=False).stdout
    return sorted(line for line in out.splitlines() if "/.local/state/wf/" not in line)


def toolchain(way, name, tap):
    files, fetch, first, second = TOOLCHAINS[name]
    if way.name == "docker" and name in NOT_IN_DOCKER:
        tap.line(True, "%s, %s # SKIP %s" % (way.name, name, NOT_IN_DOCKER[name]))
        return ""
    for path, text in files.items():
        way.put(path, text)
    way.before(fetch)
    way.own()
    before = survey(way.home)
    told, sandbox = way.jailed([timed(first), timed(second), timed(second)])
    after = survey(way.home)
    shell = ms(way.shell(timed(first + " >/dev/null; " + second)).stdout) if way.name != "container" else -1
    bad = [r for r in told if r["code"] != 0]
    changed = sorted(set(before) ^ set(after))[:3]
    times = "first %d ms, second %d ms, third %d ms" % tuple(ms(r["out"]) for r in told)
    slow = ms(told[2]["out"]) > 2 * (shell if shell >= 0 else ms(told[1]["out"])) + 3000
    text = "%s, %s: %s%s" % (way.name, name, times, "; both in the shell %d ms" % shell if shell >= 0 else "")
    detail = "".join(r["out"] + r["err"] for r in bad) + "".join("HOME changed: %s\n" % c for c in changed)
    detail += "slower than in the shell\n" if slow else ""
    tap.line(not bad and not changed and not slow, text, detail)
    return sandbox


def main():
    if sys.argv[1:2] == ["--without-spaces"]:
        deny_spaces()
        os.execvp(sys.argv[2], sys.argv[2:])
    ways = [w for w in ("user", "root", "container", "docker") if not sys.argv[1:] or w in sys.argv[1:]]
    names = [n for n in TOOLCHAINS if not sys.argv[1:] or n in sys.argv[1:] or not set(sys.argv[1:]) & set(TOOLCHAINS)]
    ways = ways or ["user", "root", "container", "docker"]
    if os.getuid() != 0:
        sys.exit("toolchains.py: it takes root, who can be a user and in a container too")
    install()
    print("1..%d" % (len(ways) * len(names)), flush=True)
    tap = Tap()
    for kind in ways:
        way, sandbox = Way(kind), ""
        try:
            for name in names:
                try:
                    sandbox = toolchain(way, name, tap) or sandbox
                except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                    tap.line(False, "%s, %s" % (kind, name), str(error))
        finally:
            way.close()
        print("# %s: %s" % (kind, sandbox), flush=True)
    sys.exit(0 if tap.well else 1)


main()
