//! How cells are spelled: numbers, what is missing, names.

use crate::block::Kind;

/// A cell without the spaces around it, those that only other scripts have too.
#[inline]
pub(crate) fn tidy(cell: &str) -> &str {
    let cell = cell.trim_ascii();
    let is_plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii);
    match is_plain(cell.as_bytes().first()) && is_plain(cell.as_bytes().last()) {
        true => cell,
        false => cell.trim(),
    }
}

/// Whether a cell says that there is nothing, as pandas, NumPy, R, SQL and Excel write it.
#[inline]
pub fn is_missing(cell: &str) -> bool {
    const LONGEST: usize = 9;
    let Some(first) = cell.as_bytes().first() else { return true };
    if cell.len() > LONGEST
        || !matches!(first, b'#' | b'-' | b'1' | b'.' | b'?' | b'<' | b'(' | b'\\' | b'N' | b'n' | b'M' | b'm')
    {
        return false;
    }
    const EXACT: [&str; 11] = ["NA", "NaT", "N.A.", "n.a.", "na", "\\N", "-", "--", ".", "?", "nil"];
    const ANY_CASE: [&str; 16] = [
        "nan", "-nan", "null", "none", "n/a", "#n/a", "#na", "#n/a n/a", "<na>", "<null>", "(null)", "missing",
        "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind",
    ];
    EXACT.contains(&cell) || ANY_CASE.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A name: nothing where it says that there is none, and a whole number as such, however a float column wrote it.
#[inline]
pub(crate) fn name(cell: &str, decimal_comma: bool) -> &str {
    if is_missing(cell) {
        return "";
    }
    match cell.strip_suffix(if decimal_comma { ",0" } else { ".0" }) {
        Some(whole) if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => cell,
    }
}

/// A number; `Some(None)` for a cell that says that there is none, `None` for no number.
#[inline]
pub(crate) fn number(cell: &str, decimal_comma: bool) -> Option<Option<f64>> {
    if decimal_comma && let Some((whole, fraction)) = cell.split_once(',') {
        // One mark, and no other: 1.234,5 and 1,234,567 are not guessed at.
        let is_plain = !whole.contains('.') && !fraction.contains([',', '.']);
        return if is_plain { format!("{whole}.{fraction}").parse().ok().map(Some) } else { None };
    }
    match cell.parse::<f64>() {
        // A point in a file of commas may cut thousands.
        Ok(_) if decimal_comma && cell.contains('.') => None,
        Ok(value) => Some(Some(value)),
        Err(_) if is_missing(cell) => Some(None),
        Err(_) => None,
    }
}

/// A whole number, with a point (or comma) and zeros too; otherwise like [`number`].
#[inline]
pub(crate) fn whole(cell: &str, decimal_comma: bool) -> Option<Option<u64>> {
    if let Ok(value) = cell.parse() {
        return Some(Some(value));
    }
    // 1,000 is a thousand to some.
    if decimal_comma && cell.split_once(',').is_some_and(|(_, fraction)| fraction != "0") {
        return None;
    }
    match number(cell, decimal_comma)? {
        Some(value) if !value.is_nan() => as_whole(value).map(Some),
        _ => Some(None),
    }
}

/// Up to here a float holds every whole number: 2^53.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

/// A float that is a whole number, 0 or more, and exact.
pub(crate) fn as_whole(value: f64) -> Option<u64> {
    ((0.0..=EXACT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

/// What to do about a cell that is no number, in brackets; nothing where that is not known.
pub(crate) fn advice(cell: &str, decimal_comma: bool, kind: Kind) -> &'static str {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    if cell.strip_suffix('%').is_some_and(|rest| is_number(&rest.replace(',', "."))) {
        " (write percentages as fractions: 0.98 for 98%)"
    } else if decimal_comma && cell.contains('.') {
        " (the other numbers have decimal commas: write all in one way)"
    } else if kind != Kind::Whole && cell.contains(',') && is_number(&cell.replace(',', ".")) {
        " (write the decimal comma as a point)"
    } else if cell.contains([',', '\'', ' ', '_', '\u{a0}', '\u{202f}'])
        && is_number(&cell.replace([',', '\'', ' ', '_', '\u{a0}', '\u{202f}'], ""))
    {
        " (write numbers without marks between the thousands)"
    } else if cell.starts_with('#') {
        " (an error of a spreadsheet: mend its formula)"
    } else {
        ""
    }
}

/// At most 60 characters of a foreign text, for an error.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_in_many_ways() {
        for (cell, value) in
            [("0.5", 0.5), ("1.000000000000000000e+00", 1.0), ("1e-300", 1e-300), ("+1", 1.0), (".5", 0.5)]
        {
            assert_eq!(number(cell, false), Some(Some(value)), "{cell}");
        }
        for (cell, value) in [("0,5", 0.5), ("1,0E-05", 1e-5), ("-3,25", -3.25), ("1", 1.0)] {
            assert_eq!(number(cell, true), Some(Some(value)), "{cell}");
        }
        for cell in [
            "", "NA", "N/A", "#N/A", "NULL", "None", "<NA>", "NaT", "\\N", "-", ".", "?", "missing", "1.#QNAN",
            "-1.#IND",
        ] {
            assert_eq!((number(cell, false), number(cell, true)), (Some(None), Some(None)), "{cell}");
            assert_eq!(name(cell, false), "", "{cell}");
        }
        for cell in ["nan", "NaN", "-nan", "NAN"] {
            assert!(number(cell, false).unwrap().unwrap().is_nan() && whole(cell, false) == Some(None), "{cell}");
            assert_eq!(name(cell, false), "");
        }
        for cell in ["98%", "1,234.5", "0,5", "x", "1 000", "#DIV/0!", "0.5x", "0x10", "real"] {
            assert_eq!((number(cell, false), whole(cell, false)), (None, None), "{cell}");
        }
        for cell in ["0.5", "1.234,5", "1,234,567", "1.234"] {
            assert_eq!(number(cell, true), None, "{cell}");
        }
        assert_eq!(
            [whole("32.0", false), whole("32,0", true), whole("7", true)],
            [Some(Some(32)), Some(Some(32)), Some(Some(7))]
        );
        assert_eq!([whole("1,000", true), whole("1.5", false), whole("-1", false), whole("1e20", false)], [None; 4]);
        for (cell, says) in [
            ("98%", "fractions"),
            ("0,5", "point"),
            ("1,234.5", "thousands"),
            ("1 000", "thousands"),
            ("#REF!", "formula"),
            ("x", ""),
        ] {
            assert!(advice(cell, false, Kind::Number).contains(says), "{cell}");
        }
        assert!(advice("0.5", true, Kind::Number).contains("one way"));
        assert!(advice("1,234", false, Kind::Whole).contains("thousands"));
    }

    #[test]
    fn names_are_kept() {
        for (cell, expected) in [
            ("5.0", "5"),
            ("5", "5"),
            ("v1.0", "v1.0"),
            ("1.10", "1.10"),
            (".0", ".0"),
            ("Nanette", "Nanette"),
            ("-1", "-1"),
            ("n/a", ""),
        ] {
            assert_eq!(name(cell, false), expected);
        }
        assert_eq!((name("5,0", true), name("5,0", false)), ("5", "5,0"));
        assert_eq!(tidy("\u{a0} REAL \u{a0}"), "REAL");
    }
}
