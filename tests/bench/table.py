"""The table: a row per number, in Markdown."""
import statistics


class Row:
    """samples: one per run. bar: what the number should be at most, or, with least, at least. peers: name -> how many times as
    much the peer takes."""

    def __init__(self, what, unit="", samples=(), most=None, least=None, peers=None, note=""):
        self.what, self.unit, self.samples = what, unit, list(samples)
        self.most, self.least, self.peers, self.note = most, least, peers or {}, note

    def median(self):
        return statistics.median(self.samples)

    def bar(self):
        if self.most is not None:
            return "≤ " + figure(self.most)
        return "≥ " + figure(self.least) if self.least is not None else ""

    def verdict(self):
        if not self.samples or (self.most is None and self.least is None):
            return ""
        met = self.median() <= self.most if self.most is not None else self.median() >= self.least
        return "met" if met else "MISSED"

    def cells(self):
        low, high = (min(self.samples), max(self.samples)) if self.samples else ("", "")
        spread = "%s .. %s" % (figure(low), figure(high)) if len(self.samples) > 1 else ""
        measured = "%s %s" % (figure(self.median()), self.unit) if self.samples else "not measured"
        peers = ", ".join("%s %s×" % (name, figure(times)) for name, times in self.peers.items())
        return [self.what, self.bar(), measured.strip(), spread, str(len(self.samples) or ""), self.verdict(), peers, self.note]


def figure(x):
    """Three digits that count, and no more zeros than it takes."""
    if x == int(x) or abs(x) >= 1000:
        return "{:,.0f}".format(x)
    digits = 3 if abs(x) < 1 else 2 if abs(x) < 100 else 1
    return "%.*f" % (digits, x)


HEAD = ["what", "bar", "median", "min .. max", "runs", "", "peers take", ""]


def render(rows):
    table = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD) - 1)] + [0]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() + " |" for line in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2 if width else 3) for width in widths) + "|")
    return "\n".join(lines)
