//! What PCRE2 is told about the 256 characters: they are those of ISO 8859-1, as in Erlang.
//!
//! The layout is that of `pcre2_maketables`: lower case, other case, sets of bits, types.

const SETS: usize = 10;
const LENGTH: usize = 256 + 256 + SETS * 32 + 256;

/// The table that PCRE2 reads.
pub static TABLES: [u8; LENGTH] = tables();

const fn tables() -> [u8; LENGTH] {
    let mut tables = [0; LENGTH];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        tables[at] = lower(byte);
        tables[256 + at] = flipped(byte);
        let members = members(byte);
        let mut set = 0;
        while set < SETS {
            if members[set] {
                tables[512 + set * 32 + at / 8] |= 1 << (at % 8);
            }
            set += 1;
        }
        tables[512 + SETS * 32 + at] = types(byte);
        at += 1;
    }
    tables
}

/// In which of PCRE2's sets a character is: space, xdigit, digit, upper, lower, word, graph, print,
/// punct, cntrl.
const fn members(byte: u8) -> [bool; SETS] {
    let graph = matches!(byte, b'!'..=b'~' | 0xa0..);
    [
        is_space(byte),
        byte.is_ascii_hexdigit(),
        byte.is_ascii_digit(),
        is_upper(byte),
        is_lower(byte),
        is_word(byte),
        graph,
        graph || byte == b' ',
        graph && (!is_word(byte) || byte == b'_'),
        matches!(byte, 0..=0x1f | 0x7f..=0x9f),
    ]
}

const fn types(byte: u8) -> u8 {
    let letter = is_upper(byte) || is_lower(byte);
    is_space(byte) as u8
        + letter as u8 * 2
        + is_lower(byte) as u8 * 4
        + byte.is_ascii_digit() as u8 * 8
        + is_word(byte) as u8 * 16
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

const fn is_upper(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde)
}

const fn is_lower(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | 0xaa | 0xb5 | 0xba | 0xdf..=0xf6 | 0xf8..)
}

/// Letters, digits and `_`.
const fn is_word(byte: u8) -> bool {
    is_upper(byte) || is_lower(byte) || byte.is_ascii_digit() || byte == b'_'
}

const fn lower(byte: u8) -> u8 {
    if is_upper(byte) { byte + 32 } else { byte }
}

/// Some small letters have no capital of theirs here.
const fn flipped(byte: u8) -> u8 {
    match byte {
        0xaa | 0xb5 | 0xba | 0xdf | 0xff => byte,
        _ if is_lower(byte) => byte - 32,
        _ => lower(byte),
    }
}
