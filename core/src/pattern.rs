//! Regular expressions that come from blueprints: bounded and matched against whole texts. No I/O.

use regex::RegexBuilder;

/// Maximum size of a compiled expression, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// Whether the expression matches the whole text.
///
/// # Errors
/// A text that says what is wrong with the expression.
pub fn matches_whole(pattern: &str, text: &str) -> Result<bool, String> {
    let whole = format!("^(?:{pattern})$");
    let compiled = RegexBuilder::new(&whole).size_limit(SIZE_MAX).build();
    compiled.map(|re| re.is_match(text)).map_err(|e| format!("{pattern:?} is no regular expression: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_texts_match_and_wrong_patterns_are_errors() {
        assert_eq!(matches_whole("[a-z]{2}", "en"), Ok(true));
        assert_eq!(matches_whole("[a-z]{2}|x", "eng"), Ok(false));
        assert!(matches_whole("(", "x").is_err());
    }
}
