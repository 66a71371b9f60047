"""What wf is compared with: the same requests from Node, by the vendor's SDK and by bare fetch. Neither has a log."""
import os
import shutil
import subprocess

from measure import launch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
PLACE = os.path.abspath("build/peers")


def install():
    """Answers the peers that can run, by name, and what to say of those that cannot."""
    if not shutil.which("node"):
        return {}, ["peers skipped: no node here"]
    shutil.copytree(HERE, PLACE, dirs_exist_ok=True)
    scripts = {"SDK": os.path.join(PLACE, "sdk.mjs"), "fetch": os.path.join(PLACE, "fetch.mjs")}
    why = install_sdk()
    if not why:
        return scripts, []
    del scripts["SDK"]
    return scripts, ["the vendor's SDK skipped: " + why]


def install_sdk():
    """The pinned versions of the lock file, once. Answers why not."""
    done = os.path.join(PLACE, "installed.json")
    lock = os.path.join(PLACE, "package-lock.json")
    if os.path.exists(done) and open(done).read() == open(lock).read():
        return ""
    if not shutil.which("npm"):
        return "no npm here"
    try:
        npm = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=PLACE, timeout=120,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return "npm took too long"
    if npm.returncode != 0:
        return "npm cannot install it: " + (npm.stdout.decode(errors="replace").strip().splitlines() or ["?"])[-1]
    shutil.copy(lock, done)
    return ""


def ask(script, server, request, calls, lanes):
    return launch(["node", script, request, str(calls), str(lanes)], PLACE, server.env())
