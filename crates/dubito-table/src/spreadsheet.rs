//! Cells of tables for people, which spreadsheets open.

use std::borrow::Cow;

/// A cell that a spreadsheet does not take for a formula: text that begins with `=`, `+`, `-`, `@`, a tab or the end of a
/// line has an apostrophe before it (OWASP, "CSV Injection"). Numbers stay numbers. Data that is read again (predictions,
/// manifests) is written as it is.
pub fn spreadsheet_safe(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    match is_formula && cell.parse::<f64>().is_err() {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::spreadsheet_safe;

    #[test]
    fn formulas_are_text_and_numbers_stay() {
        for text in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "--", "＝1", "-x"] {
            assert_eq!(spreadsheet_safe(text), format!("'{text}"));
        }
        for text in ["", "-0.5", "+1", "-1e-300", "-inf", "0.5", "real", "a=b", "'=1", " =1"] {
            assert_eq!(spreadsheet_safe(text), text);
        }
    }
}
