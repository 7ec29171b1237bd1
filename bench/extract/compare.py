"""Times every kind of extraction beside the Python tool of that trade, and scores both against labels.

Times are processor time, user and system, so that a busy machine does not distort them. Gleaner's is that of the whole command: start,
reading, parsing, writing JSON, over all of its threads. A peer's is that of the calls alone, without its start and imports. So the
ratios are the least there is. Of Gleaner's rounds the best counts.

Labels (`labels.jsonl` in each folder, one object per line):
  products  file, url, title, price, currency, availability (null: plain structured data name none)
  contacts  file, default_region, emails, phones, faxes (as written on the page)
  robots    file, user_agent, url, allowed
  sitemaps  file, kind, urls (their number), first (the first of them)
  pages     file, url, title, text (the main text); where the data have no such folder, the sample in the repository is scored
`read_by_eye.jsonl` beside this program completes those of the products: what a shopper reads on each page whose label has no price, written
down by somebody who did not see what any program had found. Pages on which reasonable people differ (`is_sure` false) do not count there.
Prices as text have no labels of their own: they are written here, in the forms of many countries, from amounts that are known.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from decimal import Decimal
from pathlib import Path

warnings.filterwarnings("ignore")


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def body(path):
    raw = Path(path).read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def html(path):
    return body(path).decode("utf-8", "replace")


def digits(text):
    return re.sub(r"\D", "", text)


def same_phone(e164, label):
    """Whether a label as written is this number: all of its digits, without a trunk zero or an international prefix."""
    wanted, got = digits(label), digits(e164)
    if len(wanted) < 6:
        return False
    for prefix in ("00", "011", "0", "1", ""):
        if wanted.startswith(prefix) and got.endswith(wanted[len(prefix):]):
            return True
    return "(0)" in label and got.endswith(digits(label.replace("(0)", "")))


class Kind:
    """One kind: its inputs, both sides' answers, and the scores."""

    name = unit = peer = ""
    rounds = 3

    def __init__(self, data):
        self.data = data

    def inputs(self):
        """The requests, one a line."""
        raise NotImplementedError

    def ask_peer(self, items):
        """The peer's answers to the same lines, in order."""
        raise NotImplementedError

    def amount(self, items, answers):
        """How many units (pages, URLs, strings) the run has worked through."""
        return len(items)

    def score(self, items, answers, whose):
        """Name -> share, for one side's answers."""
        return {}


class Url(Kind):
    name, unit, peer = "url", "URLs", "w3lib"

    def inputs(self):
        urls = [loc for item in lines(self.data / "sitemaps/labels.jsonl") for loc in locs(self.data / "sitemaps" / item["file"])]
        rng = random.Random(1)
        tails = ["", "?b=2&a=1", "?utm_source=x&id=7", "#part", "?id=1&gclid=abc", "/../x/./y"]
        return [{"id": n, "text": rng.choice(urls) + rng.choice(tails)} for n in range(200_000)]

    def ask_peer(self, items):
        from w3lib.url import canonicalize_url, url_query_cleaner

        tracking = ["utm_source", "gclid"]
        return [{"url": canonicalize_url(url_query_cleaner(item["text"], tracking, remove=True))} for item in items]

    def score(self, items, answers, whose):
        return {"answered": share(sum(1 for answer in answers if answer), len(items))}


class Domain(Kind):
    name, unit, peer = "domain", "hosts", "tldextract"
    TRUTH = {
        "https://www.example.co.uk/x": "example.co.uk", "http://a.b.example.com.au": "example.com.au", "https://example.com": "example.com",
        "https://foo.bar.städte.de/": "xn--stdte-hra.de", "https://x.y.example.jp": "example.jp", "http://www.city.kawasaki.jp": "city.kawasaki.jp",
        "https://sub.example.com.br:8443/": "example.com.br", "http://192.0.2.7/": None, "http://localhost/": None,
    }

    def inputs(self):
        rng = random.Random(2)
        return [{"id": n, "text": rng.choice(list(self.TRUTH))} for n in range(200_000)]

    def ask_peer(self, items):
        import tldextract

        extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
        found = []
        for item in items:
            parts = extract(item["text"])
            found.append({"registrable": parts.top_domain_under_public_suffix or None})
        return found

    def score(self, items, answers, whose):
        right = 0
        for item, answer in zip(items, answers):
            got = answer and answer.get("registrable")
            if got and not got.isascii():
                got = got.encode("idna").decode()
            right += got == self.TRUTH[item["text"]]
        return {"right": share(right, len(items))}


class Robots(Kind):
    name, unit, peer = "robots", "questions", "protego"

    def inputs(self):
        return [{"id": n, "file": str(self.data / "robots" / item["file"]), "user_agent": item["user_agent"], "url": item["url"], "allowed": item["allowed"]}
                for n, item in enumerate(lines(self.data / "robots/labels.jsonl"))]

    def ask_peer(self, items):
        from protego import Protego

        answers = []
        for item in items:
            rules = Protego.parse(Path(item["file"]).read_bytes().decode("utf-8", "replace"))
            answers.append({"allowed": rules.can_fetch(item["url"], item["user_agent"])})
        return answers

    def score(self, items, answers, whose):
        return {"right": share(sum(1 for item, answer in zip(items, answers) if answer and answer["allowed"] == item["allowed"]), len(items))}


def locs(path):
    return [match.decode("utf-8", "replace").replace("&amp;", "&") for match in re.findall(rb"<loc>\s*([^<\s]+)\s*</loc>", body(path))]


class Sitemap(Kind):
    name, unit, peer = "sitemap", "URLs", "ultimate-sitemap-parser"

    def inputs(self):
        self.labels = lines(self.data / "sitemaps/labels.jsonl")
        items = [{"id": n, "file": str(self.data / "sitemaps" / item["file"]), "url": "https://example.com/sitemap.xml"} for n, item in enumerate(self.labels)]
        self.big = tempfile.NamedTemporaryFile(suffix=".xml", delete=False)
        with self.big as file:
            file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n')
            for n in range(50_000):
                file.write(b"<url><loc>https://example.com/products/item-%d?variant=%d</loc><lastmod>2026-01-%02dT10:00:00+01:00</lastmod>"
                           b"<changefreq>daily</changefreq><priority>0.5</priority></url>\n" % (n, n * 7, n % 28 + 1))
            file.write(b"</urlset>\n")
        return items + [{"id": len(items) + n, "file": self.big.name, "url": "https://example.com/sitemap.xml"} for n in range(10)]

    def ask_peer(self, items):
        from usp.fetch_parse import SitemapStrParser

        answers = []
        for item in items:
            tree = SitemapStrParser(static_content=body(item["file"]).decode("utf-8", "replace")).sitemap()
            pages = list(getattr(tree, "pages", None) or [])
            urls = [{"loc": page.url} for page in pages]
            if not urls and hasattr(tree, "sub_sitemaps"):
                urls = [{"loc": sub.url} for sub in tree.sub_sitemaps]
            kind = "index" if type(tree).__name__.startswith("Index") and hasattr(tree, "sub_sitemaps") and tree.sub_sitemaps else "urlset"
            answers.append({"kind": kind, "urls": urls})
        return answers

    def amount(self, items, answers):
        return sum(len(answer["urls"]) for answer in answers if answer)

    def score(self, items, answers, whose):
        right = 0
        for label, answer in zip(self.labels, answers):
            kind = {"sitemapindex": "index"}.get(label["kind"], label["kind"])
            right += bool(answer) and answer["kind"] == kind and len(answer["urls"]) == label["urls"] \
                and [url["loc"] for url in answer["urls"][:len(label["first"])]] == label["first"]
        return {"right": share(right, len(self.labels))}


class SitemapLxml(Sitemap):
    """The same against bare lxml, which knows nothing of sitemaps: the fastest that Python has."""

    peer = "lxml"

    def ask_peer(self, items):
        from lxml import etree

        answers = []
        for item in items:
            root = etree.fromstring(body(item["file"]), etree.XMLParser(recover=True, huge_tree=True))
            found = []
            for node in root:
                found.append({etree.QName(child).localname: (child.text or "").strip() for child in node if isinstance(child.tag, str)})
            answers.append({"kind": "index" if etree.QName(root).localname == "sitemapindex" else "urlset", "urls": [url for url in found if "loc" in url]})
        return answers


class Contacts(Kind):
    name, unit, peer = "contacts", "pages", "phonenumbers + regex + lxml"

    def inputs(self):
        self.labels = lines(self.data / "contacts/labels.jsonl")
        return [{"id": n, "file": str(self.data / "contacts" / item["file"]), "default_region": item["default_region"], "url": "https://page.invalid/"}
                for n, item in enumerate(self.labels)]

    def ask_peer(self, items):
        import phonenumbers
        from lxml import html as parser

        address = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}")
        answers = []
        for item in items:
            page = parser.fromstring(body(item["file"]) or b"<p/>")
            for node in page.xpath("//script|//style|//noscript"):
                node.drop_tree()
            text = "\n".join(page.itertext())
            hrefs = " ".join(page.xpath("//a/@href"))
            emails = sorted(set(address.findall(text + " " + hrefs.replace("mailto:", " "))))
            phones = [phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
                      for match in phonenumbers.PhoneNumberMatcher(text, item["default_region"])]
            answers.append({"emails": [{"value": email} for email in emails], "phones": [{"e164": phone} for phone in dict.fromkeys(phones)]})
        return answers

    def score(self, items, answers, whose):
        mail_hits = mail_all = hits = wanted = right = found = 0
        for label, answer in zip(self.labels, answers):
            answer = answer or {"emails": [], "phones": []}
            mails = {email["value"].lower() for email in answer["emails"]}
            mail_all += len(set(label["emails"]))
            mail_hits += len({email.lower() for email in label["emails"]} & mails)
            numbers = set(label["phones"]) | set(label["faxes"])
            got = [phone["e164"] for phone in answer["phones"]]
            wanted += len(numbers)
            hits += sum(any(same_phone(phone, number) for phone in got) for number in numbers)
            if numbers:
                found += len(got)
                right += sum(any(same_phone(phone, number) for number in numbers) for phone in got)
        return {"e-mail recall": share(mail_hits, mail_all), "phone recall": share(hits, wanted), "phone precision": share(right, found)}


class Price(Kind):
    name, unit, peer = "price", "strings", "price-parser"

    @staticmethod
    def forms(rng):
        """One price as some shop would write it, with what it means."""
        whole, cents = rng.choice([rng.randrange(1, 1000), rng.randrange(1000, 1_000_000)]), rng.randrange(100)
        comma, point = f"{whole:,}", f"{whole:,}".replace(",", ".")
        space, quote = f"{whole:,}".replace(",", " "), f"{whole:,}".replace(",", "'")
        nbsp = f"{whole:,}".replace(",", "\u202f")
        text, code, exact = rng.choice([
            (f"${comma}.{cents:02}", "USD", True), (f"£{comma}.{cents:02}", "GBP", True), (f"US${comma}.{cents:02}", "USD", True),
            (f"{point},{cents:02} €", "EUR", True), (f"{nbsp},{cents:02} €", "EUR", True), (f"EUR {space},{cents:02}", "EUR", True),
            (f"CHF {quote}.{cents:02}", "CHF", True), (f"{point},{cents:02} TL", "TRY", True), (f"R$ {point},{cents:02}", "BRL", True),
            (f"{space},{cents:02} zł", "PLN", True), (f"{space},{cents:02} Kč", "CZK", True), (f"NOK {space},{cents:02}", "NOK", True),
            (f"SEK {space},-", "SEK", False), (f"₹{comma}", "INR", False), (f"₩{comma}", "KRW", False), (f"{comma}円", "JPY", False),
            (f"€ {point},-", "EUR", False), (f"Price: ${comma}.{cents:02} incl. VAT", "USD", True), (f"{space} ₽", "RUB", False), (f"CHF {quote}.–", "CHF", False),
        ])
        return text, Decimal(whole) + (Decimal(cents) / 100 if exact else 0), code

    def inputs(self):
        rng = random.Random(3)
        self.truth = [self.forms(rng) for _ in range(200_000)]
        return [{"id": n, "text": text} for n, (text, _, _) in enumerate(self.truth)]

    def ask_peer(self, items):
        from price_parser import Price as Parser

        return [{"amount": price.amount_text and str(price.amount), "currency": price.currency} for price in (Parser.fromstring(item["text"]) for item in items)]

    def score(self, items, answers, whose):
        right = sum(bool(answer) and bool(answer["amount"]) and Decimal(answer["amount"]) == amount for answer, (_, amount, _) in zip(answers, self.truth))
        scores = {"amount right": share(right, len(items))}
        if whose == "gleaner":
            scores["currency right"] = share(sum(bool(answer) and answer["currency"] == code for answer, (_, _, code) in zip(answers, self.truth)), len(items))
        return scores


class Offer(Kind):
    name, unit, peer = "offer", "pages", "extruct + price-parser"

    def inputs(self):
        self.labels = lines(self.data / "products/labels.jsonl")
        return [{"id": n, "file": str(self.data / "products" / item["file"]), "url": item["url"]} for n, item in enumerate(self.labels)]

    def ask_peer(self, items):
        import extruct
        from price_parser import Price as Parser

        def first(value):
            return first(value[0]) if isinstance(value, list) and value else value

        def products(node):
            if isinstance(node, list):
                for one in node:
                    yield from products(one)
            elif isinstance(node, dict):
                kinds = node.get("@type") or node.get("type") or ""
                if any(str(kind).rsplit("/", 1)[-1] in ("Product", "ProductGroup") for kind in (kinds if isinstance(kinds, list) else [kinds])):
                    yield node.get("properties", node)
                for value in node.values():
                    yield from products(value)

        answers = []
        for item in items:
            answer = {"title": None, "price": None, "currency": None, "availability": None}
            try:
                found = extruct.extract(html(item["file"]), base_url=item["url"], syntaxes=["json-ld", "microdata", "opengraph", "rdfa"], errors="ignore", uniform=False)
            except Exception:  # a page that it cannot read has no answer
                answers.append(answer)
                continue
            for product in list(products(found.get("json-ld", []))) + list(products(found.get("microdata", []))):
                offer = first(product.get("offers") or (first(product.get("hasVariant")) or {}).get("offers")) or {}
                offer = offer.get("properties", offer) if isinstance(offer, dict) else {}
                price = offer.get("price") or offer.get("lowPrice")
                if price is None:
                    specification = first(offer.get("priceSpecification")) or {}
                    price = specification.get("price") if isinstance(specification, dict) else None
                if price is not None and answer["price"] is None:
                    amount = Parser.fromstring(str(first(price))).amount
                    answer["price"], answer["currency"] = None if amount is None else str(amount), offer.get("priceCurrency")
                    answer["availability"] = str(first(offer.get("availability")) or "").rsplit("/", 1)[-1] or None
                answer["title"] = answer["title"] or first(product.get("name"))
            for graph in found.get("opengraph", []):
                meta = dict(graph.get("properties", []))
                answer["title"] = answer["title"] or meta.get("og:title")
                if answer["price"] is None and (meta.get("product:price:amount") or meta.get("og:price:amount")):
                    amount = Parser.fromstring(meta.get("product:price:amount") or meta.get("og:price:amount")).amount
                    answer["price"] = None if amount is None else str(amount)
                    answer["currency"] = meta.get("product:price:currency") or meta.get("og:price:currency")
            answers.append(answer)
        return answers

    def score(self, items, answers, whose):
        read = {row["file"]: row for row in lines(Path(__file__).with_name("read_by_eye.jsonl"))}
        completed = [(read.get(label["file"], label) if label["price"] is None else label, answer) for label, answer in zip(self.labels, answers)]
        labelled = [(label, answer or {}) for label, answer in zip(self.labels, answers) if label["availability"] is not None]
        scores = {}
        for name, pairs in {
            "price F1": [pair for pair in completed if pair[0].get("is_sure", True)],
            "price F1 where a price is labelled": [pair for pair in zip(self.labels, answers) if pair[0]["price"] is not None],
            "price F1 with no label for no price": list(zip(self.labels, answers)),
        }.items():
            prices = [(label["price"], (answer or {}).get("price")) for label, answer in pairs]
            hits = sum(wanted is not None and got is not None and Decimal(wanted) == Decimal(got) for wanted, got in prices)
            scores[name] = share(2 * hits, sum((wanted is not None) + (got is not None) for wanted, got in prices))
        right = [(label, answer) for label, answer in completed if answer and answer.get("price") and label["price"] and Decimal(answer["price"]) == Decimal(label["price"])]
        scores["currency right"] = share(sum(answer.get("currency") == label["currency"] for label, answer in right), len(right))
        scores["availability right"] = share(sum(answer.get("availability") == label["availability"] for label, answer in labelled), len(labelled))
        return scores


class Pages(Kind):
    name, unit, peer = "page", "pages", "trafilatura"

    def inputs(self):
        folder = self.data / "pages"
        if not folder.is_dir():
            folder = Path(__file__).resolve().parents[2] / "extract/tests/data/pages"
        self.labels = lines(folder / "labels.jsonl")
        return [{"id": n, "file": str(folder / item["file"]), "url": item["url"]} for n, item in enumerate(self.labels)]

    def ask_peer(self, items):
        from trafilatura import bare_extraction

        answers = []
        for item in items:
            found = bare_extraction(html(item["file"]), url=item["url"], include_comments=False, with_metadata=True)
            answers.append({"text": found.text, "title": found.title} if found else {"text": None, "title": None})
        return answers

    @staticmethod
    def words(text):
        """How often each word is in a text; ideographs are words."""
        return Counter(re.findall(r"[\u3040-\u9fff]|[^\W\u3040-\u9fff]+", (text or "").lower()))

    def score(self, items, answers, whose):
        total = titles = 0
        for label, answer in zip(self.labels, answers):
            got, wanted = self.words(answer and answer["text"]), self.words(label["text"])
            total += share(2 * sum((got & wanted).values()), sum(got.values()) + sum(wanted.values()))
            titles += self.words(answer and answer["title"]) == self.words(label["title"])
        return {"text F1": share(total, len(self.labels)), "title right": share(titles, len(self.labels))}


def share(part, whole):
    return part / whole if whole else 0.0


def ask_gleaner(command, kind, items, rounds):
    """Its answers in order, and the least processor time of the whole command, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        source.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        best = None
        for _ in range(rounds):
            with open(target, "wb") as out:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([*command, kind, str(source)], stdout=out, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                elapsed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            best = elapsed if best is None else min(best, elapsed)
        answers = [line.get("output") for line in lines(target)]
    if len(answers) != len(items):
        sys.exit(f"{kind}: {len(items)} lines in, {len(answers)} out")
    return answers, best


def ask_peer(kind, items):
    kind.ask_peer(items[:1])  # imports and tables are not what is timed
    started = time.process_time()
    answers = kind.ask_peer(items)
    return answers, time.process_time() - started


KINDS = [Url, Domain, Robots, Sitemap, SitemapLxml, Contacts, Price, Offer, Pages]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path, help="folder with products/, contacts/, robots/, sitemaps/")
    arguments.add_argument("--extract", default="target/release/examples/extract", help="the command, which is given a kind and a file of requests")
    arguments.add_argument("--kind", action="append", choices=sorted({kind.name for kind in KINDS}))
    arguments.add_argument("--json", action="store_true", help="one object per kind instead of the table")
    options = arguments.parse_args()
    load = os.getloadavg()[0]
    if not options.json:
        print(f"load average before: {load:.1f}; per second of processor time; the whole command against the peer's bare calls\n")
        print("| kind | peer | Gleaner | peer's speed | ratio | Gleaner's accuracy | peer's accuracy |\n|---|---|---|---|---|---|---|")
    for make in KINDS:
        if options.kind and make.name not in options.kind:
            continue
        kind = make(options.data.resolve())
        items = kind.inputs()
        ours, our_time = ask_gleaner(options.extract.split(), kind.name, items, kind.rounds)
        theirs, their_time = ask_peer(kind, items)
        our_speed = kind.amount(items, ours) / our_time
        their_speed = kind.amount(items, theirs) / their_time
        scores = kind.score(items, ours, "gleaner"), kind.score(items, theirs, "peer")
        if options.json:
            print(json.dumps({"kind": kind.name, "peer": kind.peer, "per_second": our_speed, "peer_per_second": their_speed,
                              "ratio": our_speed / their_speed if their_speed else None, "accuracy": scores[0], "peer_accuracy": scores[1], "load": load}))
        else:
            said = [", ".join(f"{name} {value:.3f}" for name, value in score.items()) for score in scores]
            ratio = f"{our_speed / their_speed:.1f}" if their_speed else "–"
            print(f"| {kind.name} | {kind.peer} | {our_speed:,.0f} {kind.unit}/s | {their_speed:,.0f}/s | {ratio} | {said[0]} | {said[1]} |", flush=True)


if __name__ == "__main__":
    main()
