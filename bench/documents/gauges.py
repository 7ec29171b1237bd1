"""What a running process holds, looked at from outside, and whether that stays flat."""

import dataclasses
import os
import pathlib
import statistics
import subprocess

MIB = 1 << 20
DRAFTS = ".drafts"
# The first part of the time is left out: caches fill, and tenants come to have as many documents as they keep.
WARM_UP = 0.1


@dataclasses.dataclass(frozen=True)
class Gauge:
    """The median of the last quarter, or what there is when all work is done, may be this much above that of the first: a share of it, and so
    many more. What is under way counts, and under a load of others' more of it is: only what stays when nothing is under way has leaked."""

    title: str
    slack: float
    unit: int = 1

    def most(self, first: float) -> float:
        return first * 1.05 + self.slack * self.unit


GAUGES = {
    "memory": Gauge("memory of the process (MiB)", 2, MIB),
    "descriptors": Gauge("descriptors", 3),
    "threads": Gauge("threads", 2),
    "children": Gauge("children", 1),
    "zombies": Gauge("children not waited for", 0),
    "temporary": Gauge("temporary files", 5),
    "connections": Gauge("connections of the database", 3),
    "locks": Gauge("transactions open for 10 s", 0),
    "astray": Gauge("files without a row, or the other way round", 3),
}


def sql(url: str, text: str) -> list[list[str]]:
    command = ["psql", "-w", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", url, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"psql: {done.stderr.strip()}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def files_in(folder: pathlib.Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def stored(storage: pathlib.Path) -> set[str]:
    """Files as they are called there: tenant and hash."""
    return {f"{path.parts[-3]}/{path.name}" for path in storage.glob("*/??/*") if path.parts[-3] != DRAFTS}


def known(url: str) -> set[str]:
    """The same by the rows."""
    rows = sql(url, "SELECT tenant.uid || '/' || encode(sha256, 'hex') FROM blob JOIN tenant ON tenant.id = tenant_id WHERE purged_at IS NULL")
    return {row[0] for row in rows}


class Watch:
    """Looks at a process, its files and its database."""

    def __init__(self, pid: int, url: str, storage: pathlib.Path, temporary: pathlib.Path):
        self.process = pathlib.Path("/proc") / str(pid)
        self.pid, self.url, self.storage, self.temporary = pid, url, storage, temporary
        self.samples: list[dict[str, int]] = []

    def look(self):
        self.samples.append(self.now())

    def now(self) -> dict[str, int]:
        status = dict(line.split(":", 1) for line in (self.process / "status").read_text().splitlines())
        children = self.children()
        sessions, waiting = map(
            int,
            sql(
                self.url,
                "SELECT count(*), count(*) FILTER (WHERE xact_start < now() - interval '10 s') FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )[0],
        )
        return {
            "memory": int(status["VmRSS"].split()[0]) * 1024,
            "descriptors": len(list((self.process / "fd").iterdir())),
            "threads": int(status["Threads"]),
            "children": len(children),
            "zombies": children.count("Z"),
            "temporary": files_in(self.storage / DRAFTS) + files_in(self.temporary),
            "connections": sessions,
            "locks": waiting,
            "astray": len(stored(self.storage) ^ known(self.url)),
        }

    def children(self) -> list[str]:
        """The state of each child of the process."""
        states = []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name, in brackets, may have any letters.
                state, parent = path.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == self.pid:
                states.append(state)
        return states

    def processor_seconds(self) -> float:
        """Of the process and all children that it has waited for."""
        fields = (self.process / "stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def judged(self, rest: dict[str, int]) -> dict[str, dict]:
        """Of each gauge the medians of the first and the last quarter, the most there was, what there is at rest, and whether that is flat."""
        samples = self.samples[int(len(self.samples) * WARM_UP) :]
        quarter = max(len(samples) // 4, 1)
        told = {}
        for name, gauge in GAUGES.items():
            values = [sample[name] for sample in samples]
            first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
            is_flat = min(last, rest[name]) <= gauge.most(first)
            told[name] = {"first": first, "last": last, "most": max(values), "rest": rest[name], "flat": is_flat}
        return told


def table(judged: dict[str, dict]) -> str:
    lines = [f"{'':46}{'first quarter':>14}{'last quarter':>14}{'most':>10}{'at rest':>10}"]
    for name, told in judged.items():
        gauge = GAUGES[name]
        first, last, most, rest = (told[key] / gauge.unit for key in ("first", "last", "most", "rest"))
        verdict = "flat" if told["flat"] else "GROWS"
        lines.append(f"{gauge.title:46}{first:>14.1f}{last:>14.1f}{most:>10.1f}{rest:>10.1f}  {verdict}")
    return "\n".join(lines)
