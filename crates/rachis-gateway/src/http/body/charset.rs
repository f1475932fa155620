//! How the bytes of a body are text.

use std::borrow::Cow;

/// How many characters are looked at to tell the order of bytes where neither name nor mark does.
const LOOKED_AT: usize = 100;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A way to write text as bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Charset {
    Utf8,
    /// Units of two bytes.
    Utf16(Option<Order>),
    /// Units of four bytes.
    Utf32(Option<Order>),
    Latin1,
}

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Charset {
    /// The charset of this name, which is compared by its letters and digits only; UTF-8 where there is none.
    pub(super) fn of(name: &str) -> Option<Charset> {
        if name.is_empty() {
            return Some(Charset::Utf8);
        }
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        match letters.collect::<String>().to_ascii_lowercase().as_str() {
            "utf8" | "usascii" | "ascii" => Some(Charset::Utf8),
            "utf16" => Some(Charset::Utf16(None)),
            "utf16le" => Some(Charset::Utf16(Some(Order::Little))),
            "utf16be" => Some(Charset::Utf16(Some(Order::Big))),
            "utf32" => Some(Charset::Utf32(None)),
            "utf32le" => Some(Charset::Utf32(Some(Order::Little))),
            "utf32be" => Some(Charset::Utf32(Some(Order::Big))),
            "iso88591" => Some(Charset::Latin1),
            _ => None,
        }
    }

    /// The text, without a byte order mark. What is not well encoded is read as U+FFFD.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        let text = match self {
            Charset::Utf8 => String::from_utf8_lossy(bytes),
            Charset::Latin1 => bytes.iter().copied().map(char::from).collect(),
            Charset::Utf16(order) => {
                let order = order.unwrap_or_else(|| order_of(bytes, 2));
                let units = units(bytes, order).map(u16::from_be_bytes);
                char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Charset::Utf32(order) => {
                let order = order.unwrap_or_else(|| order_of(bytes, 4));
                let units = units(bytes, order).map(u32::from_be_bytes);
                units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
        };
        match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text)),
        }
    }
}

/// The whole units of `bytes`, with the most significant byte first.
fn units<const N: usize>(bytes: &[u8], order: Order) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).filter_map(move |chunk| {
        let mut unit = <[u8; N]>::try_from(chunk).ok()?;
        if order == Order::Little {
            unit.reverse();
        }
        Some(unit)
    })
}

/// The order of bytes that a mark says, or else the one that makes more characters ASCII.
fn order_of(bytes: &[u8], width: usize) -> Order {
    let is_ascii = |high: &[u8], low: u8| low != 0 && high.iter().all(|byte| *byte == 0);
    let mut little = 0;
    let mut big = 0;
    for (at, unit) in bytes.chunks_exact(width).take(LOOKED_AT).enumerate() {
        match unit {
            [0xff, 0xfe, rest @ ..] if at == 0 && rest.iter().all(|byte| *byte == 0) => return Order::Little,
            [rest @ .., 0xfe, 0xff] if at == 0 && rest.iter().all(|byte| *byte == 0) => return Order::Big,
            [first, high @ ..] if is_ascii(high, *first) => little += 1,
            [high @ .., last] if is_ascii(high, *last) => big += 1,
            _ => {}
        }
    }
    if big > little { Order::Big } else { Order::Little }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: Order) -> Vec<u8> {
        let bytes = |unit: u16| if order == Order::Big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32(text: &str, order: Order) -> Vec<u8> {
        let bytes = |char| if order == Order::Big { u32::to_be_bytes(char) } else { u32::to_le_bytes(char) };
        text.chars().map(u32::from).flat_map(bytes).collect()
    }

    #[test]
    fn utf_16_and_32_are_read_in_the_order_that_name_mark_or_text_tells() {
        let text = "{\"a\":\"é😀\"}";
        for order in [Order::Little, Order::Big] {
            for text in [text.to_owned(), format!("\u{feff}{text}")] {
                for (charset, bytes) in [
                    (Charset::Utf16(None), utf16(&text, order)),
                    (Charset::Utf16(Some(order)), utf16(&text, order)),
                    (Charset::Utf32(None), utf32(&text, order)),
                    (Charset::Utf32(Some(order)), utf32(&text, order)),
                ] {
                    assert_eq!(charset.decode(&bytes), text.trim_start_matches('\u{feff}'), "{charset:?}");
                }
            }
        }
    }

    #[test]
    fn one_mark_at_the_start_is_no_text() {
        assert_eq!(Charset::Utf8.decode("\u{feff}{}".as_bytes()), "{}");
        assert_eq!(Charset::Utf8.decode("\u{feff}\u{feff}a\u{feff}".as_bytes()), "\u{feff}a\u{feff}");
        assert_eq!(Charset::Utf16(None).decode(b"\xff\xfe"), "");
        assert_eq!(Charset::Utf16(None).decode(b""), "");
    }

    #[test]
    fn what_is_not_well_encoded_is_replaced_and_half_a_unit_left_out() {
        assert_eq!(Charset::Utf8.decode(b"a\xffb\xe2\x82"), "a\u{fffd}b\u{fffd}");
        assert_eq!(Charset::Utf16(Some(Order::Little)).decode(b"\x3d\xd8a\0b"), "\u{fffd}a");
        assert_eq!(Charset::Utf32(Some(Order::Big)).decode(b"\0\x11\0\0\0\0\0a\0"), "\u{fffd}a");
        assert_eq!(Charset::Latin1.decode(b"\xe9\xff"), "éÿ");
    }

    #[test]
    fn names_are_known_in_any_case_and_with_any_dashes() {
        for (name, charset) in [
            ("UTF-8", Some(Charset::Utf8)),
            ("utf8", Some(Charset::Utf8)),
            ("us-ascii", Some(Charset::Utf8)),
            ("UTF-16LE", Some(Charset::Utf16(Some(Order::Little)))),
            ("utf-32", Some(Charset::Utf32(None))),
            ("ISO-8859-1", Some(Charset::Latin1)),
            ("utf-7", None),
            ("", Some(Charset::Utf8)),
            ("x", None),
            ("-", None),
        ] {
            assert_eq!(Charset::of(name), charset, "{name}");
        }
    }
}
