//! Workbooks of Excel: a sheet is a page, a row a line, with a tab between cells.

use std::io::{BufReader, Read, Seek, SeekFrom};

use calamine::{Data, DataRef, ExcelDateTime, Reader as _, SheetType, Xls, XlsError, Xlsx};

use super::flow::Flow;
use super::package::{has_macros, title};
use super::{Sink, open, opened};
use crate::archive::{Archive, ENCRYPTED};
use crate::failure::Failure;
use crate::protocol::{Code, Limits};
use crate::sniff::{Kind, ole};

/// How many tabs stand for a row of empty cells, at most.
const MAX_TABS: u32 = 16;
/// Days that Excel has dates for.
const DAYS: std::ops::Range<f64> = 0.0..2_958_466.0;

/// Reads a workbook as Excel has saved them since 2007.
pub(super) fn read_xlsx<R: Read + Seek>(
    mut archive: Archive<&mut R>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    // What reads them knows no bounds: what it may unpack is unpacked before.
    let parts: Vec<String> = archive
        .names()
        .filter(|name| name.ends_with(".xml") || name.ends_with(".rels"))
        .map(str::to_owned)
        .collect();
    for part in parts {
        archive.weigh(&part)?;
    }
    let mut told = opened(Kind::Xlsx);
    told.parser = parser();
    told.title = title(&mut archive, "docProps/core.xml")?;
    told.has_macros = has_macros(&archive);
    let file = archive.into_inner();
    file.seek(SeekFrom::Start(0))?;
    let mut book = Xlsx::new(BufReader::new(file)).map_err(Failure::corrupt)?;
    let sheets: Vec<String> = book
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .map(|sheet| sheet.name.clone())
        .collect();
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    for name in sheets {
        flow.locator(Some(name.clone()))?;
        let mut line = Line::default();
        let outcome = match book.worksheet_cells_reader(&name) {
            Ok(mut cells) => loop {
                match cells.next_cell() {
                    Ok(Some(cell)) => {
                        let place = cell.get_position();
                        line.add(place, &shown_ref(cell.get_value()), &mut flow)?;
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                flow.line()?;
                flow.whole_page()?;
            }
            // The others may well be whole.
            Err(_) => flow.page_failed(Code::Corrupt)?,
        }
    }
    flow.finish()
}

/// Reads a workbook of before.
pub(super) fn read_xls(
    file: &mut (impl Read + Seek),
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let bytes = file.seek(SeekFrom::End(0))?;
    // It is held as a whole, and its cells besides.
    if bytes > limits.memory_bytes / 4 {
        return Err(Failure::new(
            Code::TooLarge,
            "It is larger than workbooks of its kind that are taken.",
        ));
    }
    let names = ole::names(file)?;
    let mut told = opened(Kind::Xls);
    told.parser = parser();
    told.has_macros = names.iter().any(|name| name == "_VBA_PROJECT_CUR");
    file.seek(SeekFrom::Start(0))?;
    let mut book = Xls::new(BufReader::new(file)).map_err(|error| match error {
        XlsError::Password => Failure::new(Code::PasswordRequired, ENCRYPTED),
        error => Failure::corrupt(error),
    })?;
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    for name in book.sheet_names() {
        flow.locator(Some(name.clone()))?;
        match book.worksheet_range(&name) {
            Ok(range) => {
                let mut line = Line::default();
                for (row, column, value) in range.used_cells() {
                    let place = (
                        u32::try_from(row).unwrap_or(u32::MAX),
                        u32::try_from(column).unwrap_or(u32::MAX),
                    );
                    line.add(place, &shown(value), &mut flow)?;
                }
                flow.line()?;
                flow.whole_page()?;
            }
            Err(_) => flow.page_failed(Code::Corrupt)?,
        }
    }
    flow.finish()
}

fn parser() -> String {
    "calamine 0.38".to_owned()
}

/// The line that is written: the row, and the column of its last cell.
#[derive(Default)]
struct Line {
    last: Option<(u32, u32)>,
}

impl Line {
    fn add(
        &mut self,
        (row, column): (u32, u32),
        value: &str,
        flow: &mut Flow<'_>,
    ) -> Result<(), Failure> {
        if value.is_empty() {
            return Ok(());
        }
        match self.last {
            Some((last, before)) if last == row => {
                let tabs = column.saturating_sub(before).clamp(1, MAX_TABS);
                for _ in 0..tabs {
                    flow.push("\t")?;
                }
            }
            _ => flow.line()?,
        }
        // A line break in a cell would end the row.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        flow.push(&value)?;
        self.last = Some((row, column));
        Ok(())
    }
}

fn shown(value: &Data) -> String {
    match value {
        Data::Empty => String::new(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => float(*number),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => truth(*value),
        Data::DateTime(moment) => date(*moment),
        Data::Error(error) => error.to_string(),
    }
}

fn shown_ref(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => float(*number),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.clone()
        }
        DataRef::Bool(value) => truth(*value),
        DataRef::DateTime(moment) => date(*moment),
        DataRef::Error(error) => error.to_string(),
    }
}

fn truth(value: bool) -> String {
    if value { "TRUE" } else { "FALSE" }.to_owned()
}

/// With the 15 digits that Excel has.
fn float(number: f64) -> String {
    let rounded: f64 = format!("{number:.14e}").parse().unwrap_or(number);
    if rounded != 0.0 && !(1e-9..1e21).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

/// As ISO 8601 has it, with what there is of date and time.
fn date(moment: ExcelDateTime) -> String {
    let days = moment.as_f64();
    if !DAYS.contains(&days) {
        return float(days);
    }
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    let second = if milli >= 500 && second < 59 {
        second + 1
    } else {
        second
    };
    if moment.is_duration() || days < 1.0 {
        let hours = days.trunc() * 24.0 + f64::from(hour);
        return format!("{hours:02}:{minute:02}:{second:02}");
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if (hour, minute, second) == (0, 0, 0) {
        date
    } else {
        format!("{date} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_excel_does() {
        for (number, expected) in [
            (1.0, "1"),
            (0.1 + 0.2, "0.3"),
            (-2.5, "-2.5"),
            (123_456_789.123, "123456789.123"),
            (1e300, "1e300"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(number), expected);
        }
    }
}
