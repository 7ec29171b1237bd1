"""What tenants do all day: they upload, watch, search, read, cancel, try again, delete, and break off; and look whether all of it is so."""

import base64
import collections
import http.client
import json
import random
import threading
import time
import urllib.parse

import kinds

# Documents that a tenant keeps; of more, the oldest go.
KEPT = 60
# A page of a large file is one of these many.
LARGE_PAGES = 80
# How long an answer may take, and a document until it is done.
TIMEOUT, PATIENCE = 30, 900
BOUNDARY = "f00dcafe"
TUS = {"Tus-Resumable": "1.0.0"}


class Wrong(Exception):
    """An answer that nobody should get."""


class Ledger:
    """What came of it, of all tenants together."""

    def __init__(self):
        self.lock = threading.Lock()
        self.millis = collections.defaultdict(list)
        self.wrong = []
        self.counts = collections.Counter()

    def took(self, what: str, seconds: float):
        with self.lock:
            self.millis[what].append(seconds * 1_000)

    def count(self, what: str, number: int = 1):
        with self.lock:
            self.counts[what] += number

    def blame(self, text: str):
        with self.lock:
            self.wrong.append(text)


class Client:
    """Asks the server under one tenant's key, over a connection of its own each time."""

    def __init__(self, address: str, key: str, ledger: Ledger):
        self.address, self.key, self.ledger = address, key, ledger

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=TIMEOUT)

    def headers(self, more: dict | None = None) -> dict:
        return {"Authorization": f"Bearer {self.key}", **(more or {})}

    def ask(self, method: str, path: str, expected, body: bytes | None = None, headers: dict | None = None):
        """The status, headers and body of an answer, whose status has to be one of these."""
        began = time.monotonic()
        connection = self.connect()
        try:
            connection.request(method, path, body, self.headers(headers))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        self.ledger.took(f"{method} {path.split('?')[0].split('/')[2]}", time.monotonic() - began)
        if response.status not in expected:
            raise Wrong(f"{method} {path}: {response.status} {content[:200]!r}")
        return response.status, response.headers, content

    def json(self, method: str, path: str, expected=(200,), body: dict | None = None):
        sent = None if body is None else json.dumps(body).encode()
        status, _, content = self.ask(method, path, expected, sent, {"Content-Type": "application/json"})
        return status, json.loads(content)

    def upload(self, files: list[tuple[str, bytes]], expected=(201,), duplicate: bool = False):
        path = "/api/documents/upload" + ("-batch" if len(files) > 1 else "") + ("?duplicate=allow" if duplicate else "")
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        status, _, content = self.ask("POST", path, expected, form(files), kind)
        return status, json.loads(content)


def form(files: list[tuple[str, bytes]]) -> bytes:
    field = "files[]" if len(files) > 1 else "file"
    out = b""
    for name, content in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        out += head.encode() + content + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


class Document:
    def __init__(self, uid: str, word: str | None, expected: tuple):
        self.uid, self.word, self.expected = uid, word, expected


class Tenant(threading.Thread):
    """One tenant: does something, waits a little, does something else, until told to stop."""

    def __init__(self, number: int, client: Client, seed: int, per_second: float, hostile: dict[str, bytes]):
        super().__init__(name=f"tenant-{number}", daemon=True)
        self.client, self.ledger = client, client.ledger
        self.chance = random.Random(seed * 1_000 + number)
        self.pause, self.hostile = 1 / per_second, hostile
        self.number, self.words = number, 0
        self.documents: collections.deque[Document] = collections.deque()
        self.others: list[Tenant] = []
        self.stopping = threading.Event()

    # How often each, of all that is done.
    ACTS = {
        "upload": 10, "large": 2, "old_workbook": 1, "batch": 1, "again": 1, "refused": 1, "broken_off": 1, "bad": 1,
        "resumable": 3, "resumable_given_up": 1, "resumable_left": 1, "find": 8, "status": 6, "list": 2, "text": 2, "chunks": 1,
        "file": 2, "stats": 1, "foreign": 1, "cancel": 2, "retry": 2, "reprocess": 1, "rename": 1,
    }  # fmt: skip

    def run(self):
        names, weights = list(self.ACTS), list(self.ACTS.values())
        while not self.stopping.wait(self.chance.expovariate(1 / self.pause)):
            name = self.chance.choices(names, weights)[0]
            try:
                getattr(self, name)()
                while len(self.documents) > KEPT:
                    self.delete()
            except (Wrong, OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.ledger.blame(f"{self.name}, {name}: {error!r}")
            self.ledger.count(name)

    def word(self) -> str:
        self.words += 1
        return f"t{self.number}w{self.words}x{self.chance.randrange(10**9)}"

    def keep(self, uid: str, word: str | None, expected=("ready",)) -> Document:
        document = Document(uid, word, expected)
        self.documents.append(document)
        return document

    def some(self, chance: random.Random | None = None) -> Document | None:
        try:
            return (chance or self.chance).choice(self.documents)
        except IndexError:
            # There is none, or its tenant has just deleted some.
            return None

    def state(self, document: Document) -> dict:
        return self.client.json("GET", f"/api/documents/{document.uid}/status")[1]

    # What is uploaded.

    def upload(self):
        word = self.word()
        told = self.client.upload([kinds.readable(self.chance, word)])[1]
        self.keep(told["document_id"], word)

    def large(self):
        word = self.word()
        texts = kinds.pages(self.chance, word) + [kinds.prose(self.chance, 40) for _ in range(LARGE_PAGES)]
        told = self.client.upload([(f"{word}.pdf", kinds.pdf(texts))])[1]
        return self.keep(told["document_id"], word)

    def old_workbook(self):
        told = self.client.upload([kinds.old_workbook()], duplicate=True)[1]
        self.keep(told["document_id"], None)

    def batch(self):
        words = [self.word() for _ in range(3)]
        told = self.client.upload([kinds.readable(self.chance, word) for word in words])[1]
        for word, one in zip(words, told["results"]):
            self.keep(one["document_id"], word)

    def again(self):
        word = self.word()
        file = kinds.readable(self.chance, word)
        first = self.client.upload([file])[1]
        self.keep(first["document_id"], word)
        second = self.client.upload([file], expected=(200,))[1]
        if second["document_id"] != first["document_id"]:
            raise Wrong("the same bytes became another document")

    def refused(self):
        self.client.upload([("tool.pdf", b"\x7fELF\x02\x01\x01" + bytes(500))], expected=(415,))

    def bad(self):
        name = self.chance.choice(list(self.hostile))
        told = self.client.upload([(name, self.hostile[name])], duplicate=True)[1]
        self.keep(told["document_id"], None, ("failed",))

    def broken_off(self):
        """The connection goes in the middle of a file."""
        body = form([("lost.txt", b"lost words\n" * 100_000)])
        connection = self.client.connect()
        connection.putrequest("POST", "/api/documents/upload")
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
        for name, value in self.client.headers(kind).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        connection.close()

    def announce(self, name: str, content: bytes) -> str:
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        return self.client.ask("POST", "/api/uploads", (201,), b"", headers)[1]["Location"]

    def part(self, path: str, content: bytes, start: int):
        kind = {**TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        return self.client.ask("PATCH", path, (204,), content[start:], kind)[1]

    def resumable(self):
        word = self.word()
        name, content = kinds.readable(self.chance, word)
        path = urllib.parse.urlsplit(self.announce(name, content)).path
        half = len(content) // 2
        self.part(path, content[:half], 0)
        offset = int(self.client.ask("HEAD", path, (200, 204), None, TUS)[1]["Upload-Offset"])
        if offset != half:
            raise Wrong(f"of {half} bytes {offset} are there")
        self.keep(self.part(path, content, half)["Gleaner-Document"], word)

    def resumable_given_up(self):
        path = urllib.parse.urlsplit(self.announce("no.txt", b"never mind")).path
        self.part(path, b"never", 0)
        self.client.ask("DELETE", path, (204,), None, TUS)

    def resumable_left(self):
        """Nobody comes back for it: it expires."""
        path = urllib.parse.urlsplit(self.announce("left.txt", b"left behind")).path
        self.part(path, b"left", 0)

    # What is looked at.

    def find(self):
        """A word of ours is found in its document alone; another tenant's is not found."""
        document = self.some()
        if document is None or document.word is None:
            return
        is_ready = self.state(document)["status"] == "ready"
        hits = self.search(document.word)
        if any(hit["document_id"] != document.uid for hit in hits):
            raise Wrong(f"{document.word} is found in another document")
        if is_ready and not hits and self.state(document)["status"] == "ready":
            raise Wrong(f"{document.word} is not found in a document that is ready")
        foreign = self.chance.choice(self.others).some()
        if foreign and foreign.word and self.search(foreign.word):
            raise Wrong("another tenant's document is found")

    def search(self, text: str) -> list:
        return self.client.json("GET", f"/api/search?q={urllib.parse.quote(text)}")[1]["results"]

    def status(self):
        if document := self.some():
            self.state(document)

    def list(self):
        self.client.json("GET", "/api/documents?limit=50")

    def text(self):
        if document := self.some():
            self.client.json("GET", f"/api/documents/{document.uid}/text?page=1", (200, 404, 409))

    def chunks(self):
        if document := self.some():
            self.client.json("GET", f"/api/documents/{document.uid}/chunks?limit=20", (200, 404, 409))

    def file(self):
        if document := self.some():
            self.client.ask("GET", f"/api/documents/{document.uid}/file", (206,), None, {"Range": "bytes=0-99"})

    def stats(self):
        self.client.json("GET", "/api/user/stats")

    def foreign(self):
        if document := self.chance.choice(self.others).some():
            self.client.json("GET", f"/api/documents/{document.uid}/status", (404,))

    # What is changed.

    def cancel(self):
        """Of a document that has just been sent, or is being read, or is done already."""
        document = self.large()
        time.sleep(self.chance.random())
        if self.client.json("POST", f"/api/documents/{document.uid}/cancel", (200, 409))[0] == 200:
            document.expected = ("cancelled",)

    def retry(self):
        """Of one that was cancelled, which is then read, or of one that is not to be."""
        cancelled = [document for document in self.documents if document.expected == ("cancelled",)]
        document = self.chance.choice(cancelled) if cancelled else self.some()
        if document and self.client.json("POST", f"/api/documents/{document.uid}/retry", (200, 409))[0] == 200:
            if document.expected == ("cancelled",):
                document.expected = ("ready",)

    def reprocess(self):
        if document := self.some():
            status = self.client.json("POST", f"/api/documents/{document.uid}/reprocess", (200, 409))[0]
            if status == 200 and document.expected == ("cancelled",):
                document.expected = ("ready",)

    def rename(self):
        if document := self.some():
            self.client.json("PUT", f"/api/documents/{document.uid}/rename", (200,), {"new_filename": "renamed"})

    def delete(self):
        document = self.documents.popleft()
        self.client.json("DELETE", f"/api/documents/{document.uid}")
        self.ledger.count("delete")

    # The end.

    def settle(self):
        """Waits until each document is what it is to be, and tells of those that are not."""
        deadline = time.monotonic() + PATIENCE
        for document in self.documents:
            told = self.state(document)
            while told["status"] in ("queued", "processing") and time.monotonic() < deadline:
                time.sleep(0.2)
                told = self.state(document)
            if told["status"] not in document.expected:
                self.ledger.blame(f"{self.name}: a document is {told}, expected {document.expected}")
            elif told["status"] == "failed" and told["error"]["code"] == "internal":
                self.ledger.blame(f"{self.name}: a document failed by a fault of ours: {told}")
            self.ledger.count(f"ended {told['status']}")


class Watcher(threading.Thread):
    """Watches a tenant's documents change, hangs up after a while, and comes again."""

    def __init__(self, tenant: Tenant):
        super().__init__(name=f"watcher of {tenant.name}", daemon=True)
        self.tenant = tenant
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            document = self.tenant.some()
            path = f"/api/documents/{document.uid}/events" if document and self.tenant.chance.random() < 0.3 else "/api/documents/events"
            try:
                self.watch(path, time.monotonic() + self.tenant.chance.uniform(2, 20))
            except (OSError, http.client.HTTPException) as error:
                self.tenant.ledger.blame(f"{self.name}: {error!r}")
            self.stopping.wait(0.5)

    def watch(self, path: str, until: float):
        connection = self.tenant.client.connect()
        try:
            connection.request("GET", path, None, self.tenant.client.headers())
            response = connection.getresponse()
            # One that was deleted meanwhile.
            if response.status == 404:
                return
            if response.status != 200:
                self.tenant.ledger.blame(f"{self.name}: {response.status}")
            while time.monotonic() < until and not self.stopping.is_set():
                line = response.readline()
                if not line:
                    return
                if line.startswith(b"event:"):
                    self.tenant.ledger.count("events")
        finally:
            connection.close()
