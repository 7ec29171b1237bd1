"""Scores what reads documents: recall of labelled words, pages per processor second, memory.

Each peer reads each file in a process of its own, as Gleaner does, with the same limits of time. Processor time and memory are the
process's, its start included; what starting costs by itself is measured with a document of one word, and told.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import kinds

WORD = re.compile(r"\w+")
SECONDS = 120
PEERS = {
    "pypdf": ("pypdf==7.1.1", "import pypdf\npages = [p.extract_text() or '' for p in pypdf.PdfReader(path).pages]"),
    "pdfminer.six": (
        "pdfminer.six",
        "from pdfminer.high_level import extract_text\npages = extract_text(path).split('\\f')",
    ),
    "kreuzberg": (
        "kreuzberg==4.10.4",
        "import kreuzberg\npages = kreuzberg.extract_file_sync(path).content.split('\\f')",
    ),
    "pypdfium2": (
        "pypdfium2==5.15.2",
        "import pypdfium2\npages = [p.get_textpage().get_text_bounded() for p in pypdfium2.PdfDocument(path)]",
    ),
    # Apache Tika, compiled ahead of time.
    "extractous": (
        "extractous",
        "import extractous\nreader = extractous.Extractor().set_extract_string_max_length(50_000_000)\n"
        "pages = [reader.extract_file_to_string(path)[0]]",
    ),
    # Gets its models from Hugging Face when it is first run.
    "docling": (
        "docling",
        "from docling.document_converter import DocumentConverter\n"
        "pages = [DocumentConverter().convert(path).document.export_to_text()]",
    ),
}
# Installs gigabytes: only where it is asked for by name.
HEAVY = {"docling"}
READ = "import json, sys\npath = sys.argv[1]\n{code}\njson.dump(pages, sys.stdout)\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--gleaner", required=True)
    parser.add_argument("--json", action="store_true")
    usual = [name for name in PEERS if name not in HEAVY]
    parser.add_argument("--peer", nargs="*", default=usual, choices=list(PEERS))
    arguments = parser.parse_args()
    with open(arguments.folder / "labels.jsonl", encoding="utf-8") as lines:
        labels = {label["file"]: label for label in map(json.loads, lines)}
    readers = {"gleaner": [os.path.abspath(arguments.gleaner), "extract", "document"]}
    missing = {}
    for name in arguments.peer:
        python = install(name)
        if python is None:
            missing[name] = "cannot be installed"
        else:
            readers[name] = [python, "-c", READ.format(code=PEERS[name][1])]
    starts = {name: start(command) for name, command in readers.items()}
    for name in [name for name, millis in starts.items() if millis is None]:
        missing[name] = "does not read a document of one word"
        del readers[name]
    results = {
        name: {"start_cpu_ms": starts[name], **measure(command, arguments.folder, labels)} for name, command in readers.items()
    }
    if arguments.json:
        print(json.dumps({"results": results, "left_out": missing}))
        return
    columns = ["recall", "share_at_95", "opened", "pages_per_cpu_s", "cpu_s", "start_cpu_ms", "peak_mib", "killed"]
    print(f"{'':14}" + "".join(f"{column:>16}" for column in columns))
    for name, result in results.items():
        print(f"{name:14}" + "".join(f"{result[column]:>16}" for column in columns))
    for name, why in missing.items():
        print(f"{name}: left out, as it {why}")


def install(name):
    """The Python of a virtual environment that has the peer; None if it cannot be had."""
    requirement = PEERS[name][0]
    folder = pathlib.Path("target/bench-documents") / name
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], **quiet)
        pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", requirement]
        if made.returncode or subprocess.run(pip, **quiet).returncode:
            return None
        (folder / "installed").touch()
    return str(python.absolute())


def start(command):
    """Processor milliseconds for a document of one word, the least of three; None if it is not read."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(kinds.pdf(["word"]))
        file.flush()
        reads = [read(command, file.name) for _ in range(3)]
    if not all(text and "word" in text for text, *_ in reads):
        return None
    return round(min(spent for _, _, spent, *_ in reads) * 1000)


def measure(command, folder, labels):
    found = known = good = scored = opened = pages = killed = 0
    peak = cpu = 0
    for name, label in sorted(labels.items()):
        text, count, spent, memory, was_killed = read(command, folder / name)
        opened += text is not None
        killed += was_killed
        pages += label.get("pages") or count
        cpu += spent
        peak = max(peak, memory)
        tokens = label["tokens"]
        if not tokens:
            continue
        words = collections.Counter(WORD.findall((text or "").lower()))
        hits = sum(min(words[word], times) for word, times in tokens.items())
        total = sum(tokens.values())
        found, known, scored = found + hits, known + total, scored + 1
        good += hits >= 0.95 * total
    return {
        "documents": len(labels),
        "scored": scored,
        "opened": opened,
        "recall": round(found / max(known, 1), 4),
        "share_at_95": round(good / max(scored, 1), 3),
        "pages": pages,
        "pages_per_cpu_s": round(pages / max(cpu, 1e-3), 1),
        "cpu_s": round(cpu, 2),
        "peak_mib": round(peak / 1024),
        "killed": killed,
    }


def read(command, path):
    """Text, pages, processor seconds, KiB at most, and whether it had to be killed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*command, path], stdout=output, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid or time.monotonic() > deadline:
                break
            time.sleep(0.002)
        was_killed = not pid
        if was_killed:
            process.kill()
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        output.seek(0)
        try:
            answer = json.load(output)
        except ValueError:
            answer = None
    # Of Gleaner, whose child it waits for, the child's too.
    spent = usage.ru_utime + usage.ru_stime
    if isinstance(answer, dict):
        texts = [page["text"] for page in answer["pages"]] if not answer["error"] else None
    else:
        texts = answer
    text = None if texts is None else "\n".join(texts)
    return text, len(texts or []), spent, usage.ru_maxrss, was_killed


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
