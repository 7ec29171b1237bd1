//! Rich text (RTF): its text without its looks.

use std::io::{BufReader, Read};

use encoding_rs::{Encoding, WINDOWS_1252};

use super::flow::Flow;
use super::{Sink, open, opened};
use crate::failure::Failure;
use crate::sniff::Kind;

/// The deepest that groups nest.
const MAX_DEPTH: usize = 1_000;
/// The longest name of a control word, in bytes.
const MAX_WORD_BYTES: usize = 32;
/// The most fonts that are told apart.
const MAX_FONTS: usize = 10_000;
/// How much of a character set is decoded at once, in bytes.
const MAX_PENDING_BYTES: usize = 64 * 1024;

/// Groups whose content is not text of the document.
const LEFT_OUT: &[&str] = &[
    "colortbl",
    "datafield",
    "datastore",
    "filetbl",
    "fldinst",
    "info",
    "latentstyles",
    "listoverridetable",
    "listtable",
    "mmathPr",
    "nonshppict",
    "objdata",
    "pgptbl",
    "pict",
    "revtbl",
    "rsidtbl",
    "stylesheet",
    "themedata",
    "xmlnstbl",
];

pub(super) fn read(file: &mut impl Read, sink: &mut dyn Sink) -> Result<(), Failure> {
    open(sink, opened(Kind::Rtf))?;
    let mut reader = Rtf {
        bytes: BufReader::with_capacity(64 * 1024, file),
        back: None,
        flow: Flow::new(sink),
        group: Group::default(),
        outer: Vec::new(),
        pending: Vec::new(),
        standard: WINDOWS_1252,
        fonts: Vec::new(),
        font: 0,
        high: None,
    };
    reader.read()?;
    reader.flow.finish()
}

/// What holds until the group ends.
#[derive(Clone, Copy, Default)]
struct Group {
    is_left_out: bool,
    is_fonts: bool,
    /// Nothing: the document's.
    encoding: Option<&'static Encoding>,
    /// How many characters behind a Unicode one say the same for old programs.
    skip: Skip,
}

#[derive(Clone, Copy)]
struct Skip(usize);

impl Default for Skip {
    fn default() -> Self {
        Self(1)
    }
}

struct Rtf<'a, R> {
    bytes: R,
    back: Option<u8>,
    flow: Flow<'a>,
    group: Group,
    outer: Vec<Group>,
    /// In the encoding of the group.
    pending: Vec<u8>,
    standard: &'static Encoding,
    fonts: Vec<(i32, &'static Encoding)>,
    /// The font that is declared.
    font: i32,
    /// The first half of a character of two.
    high: Option<u16>,
}

impl<R: Read> Rtf<'_, R> {
    fn byte(&mut self) -> Result<Option<u8>, Failure> {
        if let Some(byte) = self.back.take() {
            return Ok(Some(byte));
        }
        let mut byte = [0];
        let read = self.bytes.read(&mut byte)?;
        Ok((read > 0).then_some(byte[0]))
    }

    fn read(&mut self) -> Result<(), Failure> {
        while let Some(byte) = self.byte()? {
            match byte {
                b'{' => {
                    self.flush()?;
                    if self.outer.len() >= MAX_DEPTH {
                        return Err(Failure::limit(format_args!(
                            "its groups nest deeper than {MAX_DEPTH}"
                        )));
                    }
                    self.outer.push(self.group);
                }
                b'}' => {
                    self.flush()?;
                    match self.outer.pop() {
                        Some(group) => self.group = group,
                        // What stands behind the document's end is none of it.
                        None => break,
                    }
                    if self.outer.is_empty() {
                        break;
                    }
                }
                b'\\' => self.control()?,
                b'\r' | b'\n' => {}
                byte => self.literal(byte)?,
            }
        }
        self.flush()
    }

    fn literal(&mut self, byte: u8) -> Result<(), Failure> {
        if self.group.is_left_out || self.group.is_fonts {
            return Ok(());
        }
        self.high = None;
        self.pending.push(byte);
        if self.pending.len() >= MAX_PENDING_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands on what is pending, in the encoding that it is in.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let encoding = self.group.encoding.unwrap_or(self.standard);
        let (text, _) = encoding.decode_without_bom_handling(&self.pending);
        self.flow.push(&text)?;
        self.pending.clear();
        Ok(())
    }

    /// What stands behind a backslash.
    fn control(&mut self) -> Result<(), Failure> {
        let Some(first) = self.byte()? else {
            return Ok(());
        };
        if !first.is_ascii_alphabetic() {
            return self.symbol(first);
        }
        let mut word = String::from(char::from(first));
        let mut next = self.byte()?;
        while let Some(byte) = next.filter(u8::is_ascii_alphabetic) {
            if word.len() < MAX_WORD_BYTES {
                word.push(char::from(byte));
            }
            next = self.byte()?;
        }
        let mut number = None;
        let mut is_negative = false;
        if next == Some(b'-') {
            is_negative = true;
            next = self.byte()?;
        }
        while let Some(byte) = next.filter(u8::is_ascii_digit) {
            let digits: i32 = number.unwrap_or(0);
            number = Some(
                digits
                    .saturating_mul(10)
                    .saturating_add(i32::from(byte - b'0')),
            );
            next = self.byte()?;
        }
        if is_negative {
            number = number.map(|number| -number);
        }
        // A blank belongs to the word.
        if next != Some(b' ') {
            self.back = next;
        }
        self.word(&word, number)
    }

    fn symbol(&mut self, symbol: u8) -> Result<(), Failure> {
        match symbol {
            b'\'' => {
                let (Some(high), Some(low)) = (self.byte()?, self.byte()?) else {
                    return Ok(());
                };
                let digit = |byte: u8| char::from(byte).to_digit(16);
                if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                    self.literal(u8::try_from(16 * high + low).unwrap_or(b'?'))?;
                }
                Ok(())
            }
            b'*' => {
                // What no program needs to know.
                self.group.is_left_out = true;
                Ok(())
            }
            b'\\' | b'{' | b'}' => self.literal(symbol),
            b'~' => self.text(" "),
            b'_' => self.text("-"),
            b'\r' | b'\n' => self.line(),
            _ => Ok(()),
        }
    }

    /// Text that is no byte of the document.
    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.group.is_left_out || self.group.is_fonts {
            return Ok(());
        }
        self.flush()?;
        self.flow.push(text)
    }

    fn line(&mut self) -> Result<(), Failure> {
        self.text("\n")
    }

    fn word(&mut self, word: &str, number: Option<i32>) -> Result<(), Failure> {
        match word {
            "par" | "line" | "row" | "sect" | "softline" | "nestrow" => self.line(),
            "tab" | "cell" | "nestcell" => self.text("\t"),
            "page" | "softpage" => {
                if self.group.is_left_out {
                    return Ok(());
                }
                self.flush()?;
                self.flow.page_break()
            }
            "emdash" => self.text("—"),
            "endash" => self.text("–"),
            "lquote" => self.text("‘"),
            "rquote" => self.text("’"),
            "ldblquote" => self.text("“"),
            "rdblquote" => self.text("”"),
            "bullet" => self.text("•"),
            "emspace" | "enspace" | "qmspace" => self.text(" "),
            "u" => self.unicode(number.unwrap_or(0)),
            "uc" => {
                let skip = number.and_then(|number| usize::try_from(number).ok());
                self.group.skip = Skip(skip.unwrap_or(1).min(16));
                Ok(())
            }
            "bin" => {
                let mut left = number
                    .and_then(|number| u64::try_from(number).ok())
                    .unwrap_or(0);
                while left > 0 && self.byte()?.is_some() {
                    left -= 1;
                }
                Ok(())
            }
            "ansicpg" => {
                self.flush()?;
                self.standard = number.and_then(code_page).unwrap_or(self.standard);
                Ok(())
            }
            "mac" => {
                self.standard = encoding_rs::MACINTOSH;
                Ok(())
            }
            "fonttbl" => {
                self.group.is_fonts = true;
                Ok(())
            }
            "f" => {
                self.flush()?;
                let font = number.unwrap_or(0);
                if self.group.is_fonts {
                    self.font = font;
                } else {
                    let fonts = &mut self.fonts.iter();
                    let known = fonts.find(|(number, _)| *number == font);
                    self.group.encoding = known.map(|(_, encoding)| *encoding);
                }
                Ok(())
            }
            "fcharset" if self.group.is_fonts => {
                let encoding = number.and_then(character_set);
                if let Some(encoding) = encoding
                    && self.fonts.len() < MAX_FONTS
                {
                    self.fonts.push((self.font, encoding));
                }
                Ok(())
            }
            "plain" => {
                self.flush()?;
                self.group.encoding = None;
                Ok(())
            }
            word if LEFT_OUT.contains(&word) => {
                self.flush()?;
                self.group.is_left_out = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A character by its number, and what follows it for old programs passed over.
    fn unicode(&mut self, number: i32) -> Result<(), Failure> {
        // It is written as a signed number of 16 bits.
        let unit = u16::try_from(number & 0xffff).unwrap_or(0xfffd);
        let high = self.high.take();
        match (high, unit) {
            (_, 0xd800..=0xdbff) => self.high = Some(unit),
            (Some(high), 0xdc00..=0xdfff) => {
                let text = String::from_utf16_lossy(&[high, unit]);
                self.text(&text)?;
            }
            _ => {
                let text = String::from_utf16_lossy(&[unit]);
                self.text(&text)?;
            }
        }
        let kept = self.high;
        for _ in 0..self.group.skip.0 {
            match self.byte()? {
                Some(b'\\') => match self.byte()? {
                    Some(b'\'') => {
                        self.byte()?;
                        self.byte()?;
                    }
                    Some(byte) if byte.is_ascii_alphabetic() => {
                        // A control word is none of it.
                        let word = byte;
                        self.high = kept;
                        return self.control_from(word);
                    }
                    _ => {}
                },
                Some(byte @ (b'{' | b'}')) => {
                    self.back = Some(byte);
                    break;
                }
                Some(b'\r' | b'\n') | None => break,
                Some(_) => {}
            }
        }
        self.high = kept;
        Ok(())
    }

    /// As [`Rtf::control`], from the first letter on.
    fn control_from(&mut self, first: u8) -> Result<(), Failure> {
        self.back = Some(first);
        self.control()
    }
}

/// The encoding of a code page of Windows.
fn code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        866 => "ibm866".to_owned(),
        10_000 => "macintosh".to_owned(),
        65_001 => "utf-8".to_owned(),
        number => format!("windows-{number}"),
    };
    Encoding::for_label(label.as_bytes())
}

/// The encoding of a font's character set; nothing for the document's own.
fn character_set(number: i32) -> Option<&'static Encoding> {
    code_page(match number {
        77 => 10_000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::protocol::Code;
    use crate::testing::{heard, refused};

    fn text(rtf: &str) -> String {
        heard("a.rtf", rtf.as_bytes()).texts().join("\u{c}")
    }

    #[test]
    fn text_is_taken_without_its_looks() {
        for (rtf, expected) in [
            (
                r"{\rtf1\ansi Hello {\b bold} world\par Two\tab x}",
                "Hello bold world\nTwo\tx",
            ),
            (
                r"{\rtf1{\fonttbl{\f0\fnil Arial;}{\f1\fcharset204 Times;}}\f0 a \f1\'cf\'f0\'e8\f0  \'e9}",
                "a При é",
            ),
            (r"{\rtf1\ansicpg1251 \'cf\'f0}", "Пр"),
            (
                r"{\rtf1{\fonttbl{\f0\fcharset128 M;}}\f0\'93\'fa\'96\'7b}",
                "日本",
            ),
            (r"{\rtf1 \u8364? \u-10179?\u-8704? \uc0\u233 x}", "€ 😀 éx"),
            (r"{\rtf1\uc2\u233\'c3\'a9x\u8364 {y}}", "éx€y"),
            (
                r"{\rtf1 a{\*\generator G;}{\info{\title T}}{\pict 0123}{\stylesheet{\s1 H;}}b}",
                "ab",
            ),
            (r"{\rtf1 \{x\}\\ a\~b\_c\-d}", "{x}\\ a b-cd"),
            (r"{\rtf1 one\page two}", "one\u{c}two"),
            (r"{\rtf1\trowd a\cell b\cell\row c}", "a\tb\t\nc"),
            (
                r"{\rtf1 {\field{\*\fldinst HYPERLINK x}{\fldrslt link}}}",
                "link",
            ),
            ("{\\rtf1 a\r\nb\\bin3 }}}c}", "abc"),
            (r"{\rtf1 end} behind", "end"),
            (r"{\rtf1 never ends", "never ends"),
        ] {
            assert_eq!(text(rtf), expected, "{rtf}");
        }
    }

    #[test]
    fn it_may_not_nest_too_deep() {
        let failure = refused("a.rtf", format!("{{\\rtf1{}", "{".repeat(2_000)).as_bytes());
        assert_eq!(failure.code, Code::SecurityLimit);
    }
}
