"""Documents of all kinds that are read, each with words of its own, and such as nobody can or should read."""

import base64
import io
import pathlib
import random
import zipfile
import zlib

PROSE = (
    "the ferry leaves the northern pier at seven and takes the mail and whoever wants to go with it",
    "die Mühle steht seit zweihundert Jahren am Bach und mahlt noch heute das Korn der Nachbarn",
    "les archives de la ville gardent les plans du pont que personne ne voulait construire",
    "el faro fue encendido cada noche por la misma familia hasta que llegaron los barcos de vapor",
)
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
# What only a program of its own can write stands beside the tests of what reads it.
OLD_WORKBOOK = pathlib.Path(__file__).resolve().parents[2] / "parse/tests/data/book.xls"


def prose(chance: random.Random, sentences: int) -> str:
    return ". ".join(chance.choice(PROSE) for _ in range(sentences)) + "."


def pages(chance: random.Random, word: str, most: int = 6) -> list[str]:
    """Texts of some pages; one of them has the word, which stands nowhere else."""
    texts = [prose(chance, chance.randint(2, 30)) for _ in range(chance.randint(1, most))]
    at = chance.randrange(len(texts))
    texts[at] = f"{texts[at]} The number is {word}."
    return texts


def archive(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            # A type that has to stand first, and as it is.
            stored = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            made.writestr(name, content, stored)
    return out.getvalue()


def relations(targets: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{XML}<Relationships xmlns="{PACKAGE}/relationships">{rows}</Relationships>'


def office(main: str, kind: str, files: dict[str, str]) -> bytes:
    types = (
        f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{main}" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/></Types>'
    )
    root = relations([("officeDocument", main)])
    return archive({"[Content_Types].xml": types, "_rels/.rels": root, **files})


def word_file(body: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = f'{XML}<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'
    return office("word/document.xml", "wordprocessingml.document", {"word/document.xml": document})


def docx(texts: list[str]) -> bytes:
    return word_file("".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in texts))


def xlsx(texts: list[str]) -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    numbers = range(1, len(texts) + 1)
    names = "".join(f'<sheet name="Sheet {n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    files = {
        "xl/workbook.xml": f'{XML}<workbook xmlns="{space}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations([("worksheet", f"worksheets/sheet{n}.xml") for n in numbers]),
    }
    for number, text in zip(numbers, texts):
        cell = f'<c r="A1" t="inlineStr"><is><t>{text}</t></is></c><c r="B1"><v>{number}</v></c>'
        files[f"xl/worksheets/sheet{number}.xml"] = (
            f'{XML}<worksheet xmlns="{space}"><sheetData><row r="1">{cell}</row></sheetData></worksheet>'
        )
    return office("xl/workbook.xml", "spreadsheetml.sheet", files)


def pptx(texts: list[str]) -> bytes:
    spaces = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{OFFICE}"'
    )
    numbers = range(1, len(texts) + 1)
    slides = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in numbers)
    files = {
        "ppt/presentation.xml": f"{XML}<p:presentation {spaces}><p:sldIdLst>{slides}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations([("slide", f"slides/slide{n}.xml") for n in numbers]),
    }
    for number, text in zip(numbers, texts):
        shape = f"<p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        files[f"ppt/slides/slide{number}.xml"] = (
            f"{XML}<p:sld {spaces}><p:cSld><p:spTree>{shape}</p:spTree></p:cSld></p:sld>"
        )
    return office("ppt/presentation.xml", "presentationml.presentation", files)


def open_document(kind: str, body: str) -> bytes:
    space = "urn:oasis:names:tc:opendocument:xmlns"
    mime = f"application/vnd.oasis.opendocument.{kind}"
    content = (
        f'{XML}<office:document-content xmlns:office="{space}:office:1.0" xmlns:text="{space}:text:1.0" '
        f'xmlns:table="{space}:table:1.0" office:version="1.2"><office:body>{body}</office:body></office:document-content>'
    )
    manifest = (
        f'{XML}<manifest:manifest xmlns:manifest="{space}:manifest:1.0" manifest:version="1.2">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{mime}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
    )
    return archive({"mimetype": mime, "content.xml": content, "META-INF/manifest.xml": manifest})


def odt(texts: list[str]) -> bytes:
    body = "".join(f"<text:p>{text}</text:p>" for text in texts)
    return open_document("text", f"<office:text>{body}</office:text>")


def ods(texts: list[str]) -> bytes:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    tables = "".join(
        f'<table:table table:name="Table {number}"><table:table-row>{cell.format(text)}</table:table-row></table:table>'
        for number, text in enumerate(texts, 1)
    )
    return open_document("spreadsheet", f"<office:spreadsheet>{tables}</office:spreadsheet>")


def epub(texts: list[str]) -> bytes:
    numbers = range(1, len(texts) + 1)
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in numbers)
    spine = "".join(f'<itemref idref="c{n}"/>' for n in numbers)
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            f'{XML}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
        ),
        "book.opf": (
            f'{XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">x</dc:identifier>'
            f"<dc:title>A book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
        ),
    }
    for number, text in zip(numbers, texts):
        files[f"c{number}.xhtml"] = (
            f'{XML}<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{number}</title></head><body><p>{text}</p></body></html>'
        )
    return archive(files)


def pdf_of(contents: list[bytes], filters: str = "") -> bytes:
    font = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >>"
    kids = " ".join(f"{3 + 2 * page} 0 R" for page in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(contents)} /Kids [ {kids} ] >>".encode(),
    ]
    for page, content in enumerate(contents):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << {font} >> /Contents {4 + 2 * page} 0 R >>".encode()
        )
        objects.append(f"<< {filters} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream")
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size, start = len(objects) + 1, len(out)
    out += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def pdf(texts: list[str]) -> bytes:
    def content(text: str) -> bytes:
        words, lines = text.split(), [[]]
        for one in words:
            if sum(map(len, lines[-1])) + len(lines[-1]) > 80:
                lines.append([])
            lines[-1].append(one)
        shown = "".join(f"({' '.join(line)}) Tj T*\n" for line in lines)
        return f"BT /F1 9 Tf 11 TL 40 800 Td\n{shown}ET".encode("cp1252")

    return pdf_of([zlib.compress(content(text)) for text in texts], "/Filter /FlateDecode")


def rtf(texts: list[str]) -> bytes:
    def escaped(text: str) -> str:
        return "".join(one if one.isascii() else f"\\u{ord(one)}?" for one in text)

    body = "\\par ".join(map(escaped, texts))
    return f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Arial;}}}}\\f0\\fs24 {body}\\par}}".encode()


def eml(texts: list[str]) -> bytes:
    attached = base64.encodebytes(f"Minutes: {PROSE[0]}".encode()).decode().replace("\n", "\r\n")
    lines = [
        "From: Ada <ada@harbour.example>",
        "To: Bob <bob@harbour.example>",
        "Subject: The ferry",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="x1"',
        "",
        "--x1",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        *texts,
        "--x1",
        "Content-Type: text/plain; charset=utf-8",
        'Content-Disposition: attachment; filename="minutes.txt"',
        "Content-Transfer-Encoding: base64",
        "",
        attached + "--x1--",
        "",
    ]
    return "\r\n".join(lines).encode()


def html(texts: list[str]) -> bytes:
    body = "".join(f"<h2>Part</h2><p>{text}</p>" for text in texts)
    return f"<!doctype html><html><head><title>Parts</title></head><body>{body}</body></html>".encode()


def json_file(texts: list[str]) -> bytes:
    notes = ", ".join(f'"{text}"' for text in texts)
    return f'{{"notes": [{notes}], "count": {len(texts)}}}'.encode()


KINDS = {
    "pdf": pdf,
    "docx": docx,
    "xlsx": xlsx,
    "pptx": pptx,
    "odt": odt,
    "ods": ods,
    "epub": epub,
    "rtf": rtf,
    "eml": eml,
    "html": html,
    "json": json_file,
    "md": lambda texts: "\n\n".join(f"# Part\n\n{text}" for text in texts).encode(),
    "txt": lambda texts: "\n\n".join(texts).encode(),
    "csv": lambda texts: ("n,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(texts))).encode(),
}


def readable(chance: random.Random, word: str) -> tuple[str, bytes]:
    """A file of any kind that has this word: its name and bytes."""
    ending = chance.choice(list(KINDS))
    return f"{word}.{ending}", KINDS[ending](pages(chance, word))


def old_workbook() -> tuple[str, bytes]:
    return "book.xls", OLD_WORKBOOK.read_bytes()


def hostile() -> dict[str, bytes]:
    """Files that nobody can read, by name."""
    deep = 50_000
    return {
        # 300 MB in 300 KB.
        "bomb.docx": word_file(f"<w:p><w:r><w:t>{'a' * 300_000_000}</w:t></w:r></w:p>"),
        "bomb.pdf": pdf_of([zlib.compress(bytes(200_000_000))], "/Filter /FlateDecode"),
        "nested.docx": word_file("<w:tbl><w:tr><w:tc>" * deep + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * deep),
        "cut.pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n",
        "picture.pdf": pdf_of([b"q 400 0 0 500 60 200 cm BI /W 8 /H 8 /CS /G /BPC 8 ID " + b"01234567" * 8 + b" EI Q"]),
        "cut.docx": docx(["nothing"])[:-40],
    }
