"""Runs programs and tells what they took; see launch.c for what is read where."""
import os
import subprocess
import sys

LAUNCH = os.path.abspath("build/test/bench/launch")
TIMEOUT = 120


class Taken:
    """What one run took: seconds of wall clock and of processor, MB at its peak; and what it said."""

    def __init__(self, report, said):
        self.start, self.end, user, system, peak, self.status = map(int, report.split())
        self.wall = (self.end - self.start) / 1e9
        self.cpu = (user + system) / 1e6
        self.peak = peak * 1024 / 1e6
        self.said = said


def give_up(text):
    sys.exit("bench: " + text)


def launch(command, cwd, env, expect=(0,)):
    report = os.path.join(cwd, "launch.txt")
    if os.path.exists(report):
        os.remove(report)
    try:
        done = subprocess.run([LAUNCH, report, *command], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        give_up("%s: not done after %d s" % (" ".join(command), TIMEOUT))
    said = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        give_up("%s: cannot be launched: %s" % (" ".join(command), said))
    with open(report) as f:
        taken = Taken(f.read(), said)
    if taken.status not in expect:
        give_up("%s: exit %d: %s" % (" ".join(command), taken.status, said))
    return taken


def in_turns(cases, rounds):
    """cases: name -> function that answers figures by name. All cases take turns, so that a noisy moment meets each of them.
    Answers case -> figure -> samples, and says on the way where it is."""
    samples = {name: {} for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            print("  " + name, file=sys.stderr, flush=True)
            for figure, value in case().items():
                samples[name].setdefault(figure, []).append(value)
    return samples
