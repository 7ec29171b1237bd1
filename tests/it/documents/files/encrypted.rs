//! Makes encrypted PDFs, by ISO 32000-1:2008, 7.6.3: the standard security handler, with RC4 and with AES.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};

use super::{Pdf, shown};

/// How a PDF is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// RC4 with 40 bits (revision 2).
    Rc4Short,
    /// RC4 with 128 bits (revision 3).
    Rc4,
    /// AES with 128 bits (revision 4).
    Aes,
}

impl Cipher {
    pub(crate) const ALL: [Self; 3] = [Self::Rc4Short, Self::Rc4, Self::Aes];

    /// Bytes of the key.
    fn key_bytes(self) -> usize {
        if self == Self::Rc4Short { 5 } else { 16 }
    }

    /// How often a key is hashed again, and a text encrypted again.
    fn rounds(self) -> (usize, u8) {
        if self == Self::Rc4Short {
            (0, 0)
        } else {
            (50, 19)
        }
    }

    fn dictionary(self) -> &'static str {
        match self {
            Self::Rc4Short => "/V 1 /R 2",
            Self::Rc4 => "/V 2 /R 3 /Length 128",
            Self::Aes => {
                "/V 4 /R 4 /Length 128 /StmF /StdCF /StrF /StdCF \
                 /CF << /StdCF << /AuthEvent /DocOpen /CFM /AESV2 /Length 16 >> >>"
            }
        }
    }
}

/// What a password is filled up with (7.6.3.3, algorithm 2).
const PADDING: [u8; 32] = [
    0x28, 0xBF, 0x4E, 0x5E, 0x4E, 0x75, 0x8A, 0x41, 0x64, 0x00, 0x4E, 0x56, 0xFF, 0xFA, 0x01, 0x08,
    0x2E, 0x2E, 0x00, 0xB6, 0xD0, 0x68, 0x3E, 0x80, 0x2F, 0x0C, 0xA9, 0xFE, 0x64, 0x53, 0x69, 0x7A,
];

/// The permissions: all.
const PERMISSIONS: i32 = -4;

/// The name of the file, which goes into the key.
const ID: [u8; 16] = *b"gleaner's tests!";

/// A page with these lines, opened with this password (which may be empty), or as its owner with another.
pub(crate) fn encrypted(lines: &str, password: &str, cipher: Cipher) -> Vec<u8> {
    let owner = owner_entry(password, cipher);
    let key = file_key(password, &owner, cipher);
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add("<< /Type /Pages /Kids [4 0 R] /Count 1 >>");
    pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.add(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F 3 0 R >> >> >>",
    );
    let number = pdf.stream("", &sealed(&shown(lines), 5, &key, cipher));
    assert_eq!(number, 5);
    let dictionary = pdf.add(format!(
        "<< /Filter /Standard {} /P {PERMISSIONS} /O <{}> /U <{}> >>",
        cipher.dictionary(),
        hex(&owner),
        hex(&user_entry(&key, cipher))
    ));
    let id = hex(&ID);
    pdf.finish_with(&format!("/Encrypt {dictionary} 0 R /ID [<{id}> <{id}>]"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn padded(password: &str) -> Vec<u8> {
    let password = password.as_bytes();
    [password, &PADDING].concat()[..32].to_vec()
}

fn md5(parts: &[&[u8]]) -> Vec<u8> {
    Md5::digest(parts.concat()).to_vec()
}

/// Algorithm 3: the owner's password, which nobody here uses.
fn owner_entry(password: &str, cipher: Cipher) -> Vec<u8> {
    let (hashes, rounds) = cipher.rounds();
    let mut key = md5(&[&padded("the owner's")]);
    for _ in 0..hashes {
        key = md5(&[&key]);
    }
    key.truncate(cipher.key_bytes());
    rc4_rounds(&key, padded(password), rounds)
}

/// Algorithm 2.
fn file_key(password: &str, owner: &[u8], cipher: Cipher) -> Vec<u8> {
    let bytes = cipher.key_bytes();
    let permissions = PERMISSIONS.to_le_bytes();
    let mut key = md5(&[&padded(password), owner, &permissions, &ID]);
    for _ in 0..cipher.rounds().0 {
        key = md5(&[&key[..bytes]]);
    }
    key.truncate(bytes);
    key
}

/// Algorithms 4 and 5.
fn user_entry(key: &[u8], cipher: Cipher) -> Vec<u8> {
    if cipher == Cipher::Rc4Short {
        return rc4(key, &PADDING);
    }
    let hash = md5(&[&PADDING, &ID]);
    let mut entry = rc4_rounds(key, hash, cipher.rounds().1);
    entry.resize(32, 0);
    entry
}

fn rc4_rounds(key: &[u8], mut text: Vec<u8>, rounds: u8) -> Vec<u8> {
    for round in 0..=rounds {
        let key: Vec<u8> = key.iter().map(|byte| byte ^ round).collect();
        text = rc4(&key, &text);
    }
    text
}

/// Algorithm 1: a stream, encrypted as that of the object with this number.
fn sealed(text: &[u8], number: u32, key: &[u8], cipher: Cipher) -> Vec<u8> {
    let number = &number.to_le_bytes()[..3];
    let salt: &[u8] = if cipher == Cipher::Aes { b"sAlT" } else { b"" };
    let mut own = md5(&[key, number, &[0, 0], salt]);
    own.truncate((key.len() + 5).min(16));
    match cipher {
        Cipher::Rc4Short | Cipher::Rc4 => rc4(&own, text),
        Cipher::Aes => aes_cbc(&own, text),
    }
}

fn rc4(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=255).collect();
    let mut at = 0_usize;
    for index in 0..256 {
        at = (at + usize::from(state[index]) + usize::from(key[index % key.len()])) % 256;
        state.swap(index, at);
    }
    let (mut first, mut second) = (0_usize, 0_usize);
    let next = |byte: &u8| {
        first = (first + 1) % 256;
        second = (second + usize::from(state[first])) % 256;
        state.swap(first, second);
        let place = (usize::from(state[first]) + usize::from(state[second])) % 256;
        byte ^ state[place]
    };
    text.iter().map(next).collect()
}

/// With what it begins with in front, and filled up to whole blocks (PKCS #7).
fn aes_cbc(key: &[u8], text: &[u8]) -> Vec<u8> {
    let cipher = Aes128::new_from_slice(key).expect("a key of 16 bytes");
    let fill = 16 - text.len() % 16;
    let mut text = text.to_vec();
    text.extend(std::iter::repeat_n(
        u8::try_from(fill).expect("16 at most"),
        fill,
    ));
    let mut before: [u8; 16] = *b"not random at al";
    let mut sealed = before.to_vec();
    for block in text.chunks_exact(16) {
        let mut mixed = [0; 16];
        for (place, (byte, other)) in mixed.iter_mut().zip(block.iter().zip(before)) {
            *place = byte ^ other;
        }
        let mut mixed = mixed.into();
        cipher.encrypt_block(&mut mixed);
        before = mixed.into();
        sealed.extend_from_slice(&before);
    }
    sealed
}
