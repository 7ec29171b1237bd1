"""Makes the documents beside it, with the libraries that people use for it:

    pip install python-docx openpyxl python-pptx odfpy xlwt
    python make.py

They are kept as they are, so that the tests need none of these.
"""

import datetime
import pathlib

import docx
import odf.dc
import odf.opendocument
import odf.style
import odf.table
import odf.text
import openpyxl
import pptx
import pptx.util
import xlwt

HERE = pathlib.Path(__file__).parent
WHEN = datetime.datetime(2024, 1, 2, 3, 4, 5)


def word():
    document = docx.Document()
    document.core_properties.title = "A report"
    document.core_properties.created = document.core_properties.modified = WHEN
    document.sections[0].header.paragraphs[0].text = "Running head"
    document.add_heading("Findings", level=1)
    document.add_paragraph("The first paragraph, with ").add_run("bold").bold = True
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, [("Name", "Amount"), ("Äpfel", "12")]):
        for cell, text in zip(row.cells, texts):
            cell.text = text
    document.add_page_break()
    document.add_heading("Outlook", level=2)
    document.add_paragraph("What comes next.")
    document.save(HERE / "report.docx")


def slides():
    show = pptx.Presentation()
    show.core_properties.title = "A talk"
    show.core_properties.created = show.core_properties.modified = WHEN
    first = show.slides.add_slide(show.slide_layouts[0])
    first.shapes.title.text = "Welcome"
    first.placeholders[1].text = "A subtitle"
    first.notes_slide.notes_text_frame.text = "Say hello."
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "Figures"
    inch = pptx.util.Inches(1)
    table = second.shapes.add_table(1, 2, inch, inch, inch, inch).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Left", "Right"
    show.save(HERE / "talk.pptx")


def workbook():
    book = openpyxl.Workbook()
    book.properties.title = "A book"
    book.properties.created = book.properties.modified = WHEN
    sheet = book.active
    sheet.title = "Sales"
    for row in [["Day", "Sum", "Paid"], [WHEN.date(), 1234.5, True], [WHEN, 0.1 + 0.2, None]]:
        sheet.append(row)
    sheet["E5"] = "far\naway"
    sheet["A6"] = "=SUM(B2:B3)"
    book.create_sheet("Empty")
    book.create_sheet("Last")["A1"] = "Überschrift"
    book.save(HERE / "book.xlsx")


def old_workbook():
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sales")
    for column, text in enumerate(["Day", "Sum", "Paid"]):
        sheet.write(0, column, text)
    day = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    sheet.write(1, 0, WHEN, day)
    sheet.write(1, 1, 1234.5)
    sheet.write(1, 2, True)
    book.add_sheet("Last").write(0, 0, "Überschrift")
    book.save(str(HERE / "book.xls"))


def open_text():
    document = odf.opendocument.OpenDocumentText()
    document.meta.addElement(odf.dc.Title(text="A letter"))
    style = odf.style.Style(name="NewPage", family="paragraph")
    style.addElement(odf.style.ParagraphProperties(breakbefore="page"))
    document.automaticstyles.addElement(style)
    text = document.text
    text.addElement(odf.text.H(outlinelevel=1, text="Dear reader"))
    paragraph = odf.text.P(text="Spaces:")
    paragraph.addElement(odf.text.S(c=3))
    paragraph.addText("three")
    paragraph.addElement(odf.text.Tab())
    paragraph.addText("tab")
    text.addElement(paragraph)
    text.addElement(odf.text.P(stylename=style, text="On the second page."))
    document.save(HERE / "letter.odt")


def open_workbook():
    document = odf.opendocument.OpenDocumentSpreadsheet()
    table = odf.table.Table(name="Stock")
    for cells in [["Item", "Count"], ["Äpfel", "12"]]:
        row = odf.table.TableRow()
        for text in cells:
            cell = odf.table.TableCell(valuetype="string")
            cell.addElement(odf.text.P(text=text))
            row.addElement(cell)
        table.addElement(row)
    blank = odf.table.TableRow(numberrowsrepeated=1_000_000)
    blank.addElement(odf.table.TableCell(numbercolumnsrepeated=16_384))
    table.addElement(blank)
    document.spreadsheet.addElement(table)
    document.save(HERE / "stock.ods")


for make in [word, slides, workbook, old_workbook, open_text, open_workbook]:
    make()
