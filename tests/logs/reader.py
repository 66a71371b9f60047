#!/usr/bin/env python3
"""tests/logs/reader.py LOG...: reads logs by docs/LOG.md alone, and prints each as `wf log LOG --json` does.

It shares no code with the runtime, so what both say of a log is what the document says. Exit 1: a
log is damaged, or breaks a rule of the document; the reason is on stderr.
"""
import json
import re
import struct
import sys

MAGIC, VERSION, HEAD, RECORD, META_MAX = b"wf.log\r\n", 1, 32, 24, 3072
RUN, RESUME, TEXT, CALL, TURN, BLOCK, INTENT, RESERVE, DONE, MOVED, DELIVER, NOTE, END, STOP = range(1, 15)
NAMES = "? run resume text call turn block intent reserve done moved deliver note end stop".split()
OF_A_CALL = (TURN, BLOCK, INTENT, DONE, MOVED, DELIVER)

USAGE = {name: int for name in "in out cache_read cache_write nano_usd unpriced estimated".split()}
FIELDS = {
    RUN: {"name": str, "wall": int, "script": int, "args": int, "settings": int, "sha256": str, "rules": int},
    CALL: {**{name: str for name in "path hash effect label phase model effort cwd miss".split()},
           **{name: int for name in "prompt system tools schema max_turns max_tokens retries agent_ms stall_ms "
                                    "replaces".split()}, "changes": bool},
    TURN: {"prev": int, "aside": int, "fitted": bool, "sent": int, "stop": int, "reason": str, **USAGE},
    BLOCK: {"prev": int, "why": str, "id": str, "error": bool},
    INTENT: {"id": str, "name": str},
    RESERVE: {"tokens": int, "nano_usd": int, "more_tokens": int, "more_nano_usd": int},
    DONE: {"kind": int, "json": bool, "tool_errors_only": bool, "attempts": int, "turns": int, "ms": int, **USAGE},
    MOVED: {"from": int},
    DELIVER: {"wall": int},
    NOTE: {"phase": bool, "error": bool},
    END: {"outcome": int, "json": bool, "done": int, "failed": int, "cached": int, "dropped": int, "cancelled": int,
          "not_run": int, "script_errors": int, "tool_errors_only": int, "wall": int, **USAGE},
    STOP: {"outcome": int},
}
FIELDS[RESUME] = FIELDS[RUN]


class Damaged(Exception):
    """The log cannot be used, or it breaks a rule of the document."""


# ---- CRC32C ----


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc_table()


def crc32c(data, begin=0):
    crc = begin ^ 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


# ---- the file ----


class Record:
    def __init__(self, at, head, body):
        size, self.type, _, meta, self.call, self.crc, self.synced = struct.unpack("<IBBHIIQ", head)
        self.offset, self.next = at, at + RECORD + (size + 7) // 8 * 8
        self.meta_bytes, self.payload = body[:meta], body[meta:]
        self.meta = json.loads(self.meta_bytes) if meta else None


def salt_of(data):
    """The salt; None: nothing of the run was written whole."""
    if data[:len(MAGIC)] != MAGIC[:len(data)]:
        raise Damaged("it does not begin as a log does")
    if len(data) < HEAD:
        return None
    version, size, salt = struct.unpack("<III", data[8:20])
    if crc32c(data[:28]) != struct.unpack("<I", data[28:32])[0]:
        raise Damaged("its head is damaged")
    if (version, size) != (VERSION, HEAD):
        raise Damaged("a newer version wrote it")
    return salt


def record_at(data, salt, at):
    """The record at an offset; None: there is no valid one."""
    head = data[at:at + RECORD]
    if len(head) < RECORD:
        return None
    size, kind, zero, meta, _, crc, synced = struct.unpack("<IBBHIIQ", head)
    end = at + RECORD + (size + 7) // 8 * 8
    if kind == 0 or zero != 0 or meta > META_MAX or meta > size or end > len(data) or synced > at:
        return None
    body = data[at + RECORD:at + RECORD + size]
    if crc32c(head[:12] + head[16:] + body, salt) != crc:
        return None
    return Record(at, head, body)


def refuse_damage(data, salt, bad):
    """A valid record further on that knew the first bad byte to be durable tells damage from a torn tail."""
    for at in range(bad + 8, len(data) - RECORD + 1, 8):
        synced = struct.unpack("<Q", data[at + 16:at + 24])[0]
        if bad < synced <= at and record_at(data, salt, at):
            raise Damaged("it is damaged at %d, below bytes that were durable" % bad)


def refuse_no_run(data, at):
    """A first record that is bad, and not because the file ends inside it."""
    if at == HEAD and len(data) - at >= RECORD:
        size = struct.unpack("<I", data[at:at + 4])[0]
        if at + RECORD + (size + 7) // 8 * 8 <= len(data):
            raise Damaged("its first record is damaged")


def records(data):
    """The longest prefix of whole, valid records."""
    salt, found, at = salt_of(data), [], HEAD
    while salt is not None and at < len(data):
        record = record_at(data, salt, at)
        if record is None:
            refuse_damage(data, salt, at)
            refuse_no_run(data, at)
            break
        if record.type >= len(NAMES):
            raise Damaged("a newer version wrote the record at %d" % at)
        found.append(record)
        at = record.next
    return found


# ---- the rules ----


class Rules:
    """What the document says of the records, each in the light of those before it."""

    def __init__(self):
        self.texts, self.calls, self.items, self.last = set(), 0, {}, None

    def need(self, record, good, what):
        if not good:
            raise Damaged("the %s record at %d: %s" % (NAMES[record.type], record.offset, what))

    def fields(self, r):
        known = FIELDS.get(r.type)
        self.need(r, (r.meta is None) == (known is None), "metadata where there is none, or none where it has some")
        for name, value in (r.meta or {}).items():
            self.need(r, name in known and type(value) is known[name], "%s: %r" % (name, value))
            self.need(r, value or value == "", "%s is zero and not left out" % name)

    def parts(self, r):
        sizes = [r.meta.get(name, 0) for name in ("script", "args", "settings")]
        self.need(r, sum(sizes) == len(r.payload), "script, args and settings are not the payload")

    def call(self, r):
        self.calls += 1
        self.need(r, r.call == self.calls, "calls are numbered one after the other")
        self.need(r, re.fullmatch("[0-9a-f]{64}", r.meta["hash"]), "its hash is no SHA-256")
        self.need(r, r.meta.get("replaces", 0) < r.call, "it replaces a later one")
        for name in ("prompt", "system", "tools", "schema"):
            self.need(r, r.meta.get(name, 0) in self.texts | {0}, "its %s is no text before it" % name)

    def item(self, r):
        """Items of a conversation form a list that leads back to its begin."""
        prev = r.meta.get("prev", 0)
        self.need(r, prev == 0 or self.items.get(prev) == r.call, "the item before it is not of this call")
        self.items[r.offset] = r.call
        content = json.loads(r.payload) if r.payload else []
        self.need(r, isinstance(content, list if r.type == TURN else dict), "its payload is no content")
        self.need(r, r.meta.get("sent", 0) in self.texts | {0}, "what is sent in its place is no text before it")

    def check(self, r):
        self.need(r, (r.type == RUN) == (r.offset == HEAD), "the first record is the run's, and no other")
        self.need(r, r.synced <= r.offset and r.offset % 8 == 0, "its offsets")
        self.need(r, r.type not in OF_A_CALL or 0 < r.call <= self.calls, "it is of no call")
        self.fields(r)
        if r.type == TEXT:
            self.texts.add(r.offset)
        if r.type in (RUN, RESUME):
            self.parts(r)
        if r.type == CALL:
            self.call(r)
        if r.type in (TURN, BLOCK):
            self.item(r)
        if r.type == MOVED:
            self.need(r, 0 < r.meta["from"] <= self.calls, "from no call")


def read(path):
    with open(path, "rb") as f:
        found = records(f.read())
    rules = Rules()
    for record in found:
        rules.check(record)
    return found


def line(r):
    meta = r.meta_bytes.decode() if r.meta is not None else "null"
    payload = json.dumps(r.payload.decode(errors="replace"), ensure_ascii=False)
    return '{"offset":%d,"type":"%s","call":%d,"synced":%d,"meta":%s,"payload":%s}' % (
        r.offset, NAMES[r.type], r.call, r.synced, meta, payload)


def main():
    for path in sys.argv[1:]:
        try:
            for record in read(path):
                print(line(record))
        except Damaged as why:
            sys.exit("%s: %s" % (path, why))


if __name__ == "__main__":
    main()
