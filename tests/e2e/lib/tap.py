"""Cases as TAP, and what else several tests of the command need."""
import os

_count = _failed = 0


def case(ok, text, detail=""):
    """One line of TAP. detail is shown of a failure alone."""
    global _count, _failed
    _count += 1
    _failed += not ok
    print("%s %d - %s" % ("ok" if ok else "not ok", _count, text), flush=True)
    if not ok:
        print("# " + str(detail)[-6000:].replace("\n", "\n# "), flush=True)


def done():
    """The plan, and the exit code of the test."""
    print("1..%d" % _count)
    return _failed != 0


def write(folder, name, text):
    """A file, with the folders on its way; its path."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path
