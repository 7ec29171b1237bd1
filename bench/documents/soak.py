"""Hours of what tenants do, on a real process and a real database, and whether anything grows meanwhile.

Three tenants upload files of all kinds, hostile ones among them, in one piece, resumable and broken off; they search, read, cancel, try
again and delete, while others watch by event streams (load.py). Every few seconds it is looked from outside what the process holds
(gauges.py). At the end every document has to be what it is to be, accounts and files have to agree to the byte, and nothing may have
grown: of each gauge the median of the last quarter, or what there is when all is done, is at most 5 % above that of the first quarter, and
a few.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import gauges
import kinds
import load

TENANTS = 3
LOOK_EVERY = 5
START, STOP = 60, 60
CONFIG = """
[database]
url = "{url}"
[http]
listen = "127.0.0.1:0"
[embedded]
data_dir = "{folder}/data"
[documents]
storage = "{folder}/files"
upload_expiry = "1m"
[workflows.document-processing.options]
pdfium = "{pdfium}"
"""
DRIFT = """
SELECT name, used_bytes, reserved_bytes, used, aside FROM tenant,
    LATERAL (SELECT coalesce(sum(bytes), 0)::bigint AS used FROM blob WHERE tenant_id = tenant.id AND refs > 0) AS files,
    LATERAL (SELECT (coalesce((SELECT sum(bytes) FROM reservation WHERE tenant_id = tenant.id), 0)
        + coalesce((SELECT sum(length) FROM upload WHERE tenant_id = tenant.id AND document_id IS NULL), 0))::bigint AS aside) AS ways
WHERE used_bytes <> used OR reserved_bytes <> aside"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gleaner", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--database-url", required=True, help="a server on which a database may be made; it is dropped at the end")
    parser.add_argument("--pdfium", default="", help="libpdfium.so; without it PDFs are looked for as by gleaner itself")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--per-second", type=float, default=1, help="what each tenant does in a second (default: 1)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=pathlib.Path, help="where to write all samples")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gleaner-soak-", dir="/tmp")))
        url = stack.enter_context(database(arguments.database_url))
        return soak(arguments, folder, url, stack)


@contextlib.contextmanager
def database(server: str):
    """A database of our own on this server."""
    name = f"gleaner_soak_{os.getpid()}"
    gauges.sql(server, f"CREATE DATABASE {name}")
    try:
        yield urllib.parse.urlunsplit(urllib.parse.urlsplit(server)._replace(path=f"/{name}"))
    finally:
        gauges.sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def running(program: pathlib.Path, config: pathlib.Path, folder: pathlib.Path):
    """The process, and where it serves. It is told to stop at the end."""
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(temporary)}
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen([program, "run", "--config", config], env=environment, stderr=written, stdout=subprocess.DEVNULL)
    try:
        yield process, served_at(process, log)
    finally:
        process.kill()
        process.wait()


def served_at(process: subprocess.Popen, log: pathlib.Path) -> str:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if "serving health" in line:
                return line.split("address=")[1].split()[0]
        time.sleep(0.05)
    raise SystemExit(f"gleaner does not start:\n{log.read_text()}")


def soak(arguments, folder: pathlib.Path, url: str, stack: contextlib.ExitStack) -> int:
    config = folder / "gleaner.toml"
    config.write_text(CONFIG.format(url=url, folder=folder, pdfium=arguments.pdfium))
    command = [arguments.gleaner.resolve(), "--config", config]
    subprocess.run([*command, "migrate"], check=True, stdout=subprocess.DEVNULL)
    keys = [made(command, f"tenant-{number}") for number in range(TENANTS)]
    process, address = stack.enter_context(running(command[0], config, folder))
    watch = gauges.Watch(process.pid, url, folder / "files", folder / "tmp")
    ledger, hostile = load.Ledger(), kinds.hostile()
    tenants = [
        load.Tenant(number, load.Client(address, key, ledger), arguments.seed, arguments.per_second, hostile)
        for number, key in enumerate(keys)
    ]
    for tenant in tenants:
        tenant.others = [other for other in tenants if other is not tenant]
    workers = [*tenants, *(load.Watcher(tenant) for tenant in tenants)]
    began = time.monotonic()
    spent = work(workers, watch, began + arguments.minutes * 60)
    seconds = time.monotonic() - began
    for tenant in tenants:
        tenant.settle()
    # What was asked last is let go.
    time.sleep(LOOK_EVERY)
    rest = watch.now()
    problems = [*ledger.wrong, *off(url, folder / "files"), *ended(process)]
    judged = watch.judged(rest)
    told(ledger, judged, spent / seconds, seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps({"samples": watch.samples, "judged": judged, "counts": ledger.counts}))
    for problem in problems[:20]:
        print(f"WRONG: {problem}")
    is_flat = all(gauge["flat"] for gauge in judged.values())
    print(f"{len(problems)} things went wrong; {'nothing grows' if is_flat else 'something grows'}")
    return int(bool(problems) or not is_flat)


def made(command: list, name: str) -> str:
    answer = subprocess.run([*command, "tenant", "create", name, "--json"], check=True, capture_output=True)
    return json.loads(answer.stdout)["key"]


def work(workers: list, watch: gauges.Watch, until: float) -> float:
    """Has them all work until then; processor seconds of the process."""
    for worker in workers:
        worker.start()
    look = time.monotonic()
    while time.monotonic() < until:
        look += LOOK_EVERY
        time.sleep(max(look - time.monotonic(), 0))
        watch.look()
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.join()
    return watch.processor_seconds()


def off(url: str, storage: pathlib.Path) -> list[str]:
    """Accounts and files that do not agree with the rows, when nothing is under way any more."""
    problems = [f"the account of {' '.join(row)} (used, reserved, as files and uploads say)" for row in gauges.sql(url, DRIFT)]
    there, rows = gauges.stored(storage), gauges.known(url)
    problems += [f"the file {name} has no row" for name in sorted(there - rows)]
    problems += [f"the file {name} is not there" for name in sorted(rows - there)]
    return problems


def ended(process: subprocess.Popen) -> list[str]:
    """Whether it ends in good order."""
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP)
    except subprocess.TimeoutExpired:
        return ["it does not stop when it is told to"]
    return [] if code == 0 else [f"it ended with {code}"]


def told(ledger: load.Ledger, judged: dict, cores: float, seconds: float):
    print(f"{seconds:.0f} s, {cores:.1%} of a core for the process and its children")
    print(", ".join(f"{name} {count}" for name, count in sorted(ledger.counts.items())))
    print(f"{'milliseconds':46}{'answers':>14}{'median':>14}{'p95':>10}")
    for what, millis in sorted(ledger.millis.items()):
        p95 = statistics.quantiles(millis, n=20)[-1] if len(millis) > 1 else millis[0]
        print(f"{what:46}{len(millis):>14}{statistics.median(millis):>14.1f}{p95:>10.1f}")
    print(gauges.table(judged))


if __name__ == "__main__":
    sys.exit(main())
