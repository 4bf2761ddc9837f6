//! BuildKit's step names, shortened for display (pure).

use crate::text::cut;

/// How a step is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// Under this name.
    Shown(String),
    /// Not at all.
    Hidden,
}

/// The name of a step that the caller does not know.
pub fn unknown_label(name: &str) -> Label {
    let hidden = [
        "[internal]",
        "[auth]",
        "resolve image config for ",
        "load metadata for ",
    ];
    if hidden.iter().any(|prefix| name.starts_with(prefix)) {
        return Label::Hidden;
    }
    Label::Shown(shorten(without_position(name)))
}

/// `RUN make` for `[3/9] RUN make` and `[stage-1 3/9] RUN make`.
fn without_position(name: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_position = |text: &str| {
        // BuildKit aligns the numbers: `[ 3/12]`.
        let last = text.rsplit(' ').next().unwrap_or_default();
        last.split_once('/')
            .is_some_and(|(number, count)| is_number(number) && is_number(count))
    };
    match name.strip_prefix('[').and_then(|n| n.split_once("] ")) {
        Some((position, rest)) if is_position(position) => rest,
        _ => name,
    }
}

/// Shortens a name to one line of limited width, with digests cut to the usual twelve digits.
pub fn shorten(name: &str) -> String {
    const LONGEST: usize = 60;
    let words: Vec<String> = name.split_whitespace().map(shorten_digest).collect();
    cut(&words.join(" "), LONGEST, "...")
}

fn shorten_digest(word: &str) -> String {
    match word.split_once("sha256:") {
        Some((before, digest)) if digest.len() == 64 && digest.is_ascii() => {
            format!("{before}{}", &digest[..12])
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_shortened() {
        let shown = |name: &str| Label::Shown(name.to_owned());
        assert_eq!(unknown_label("[ 3/12] RUN make"), shown("RUN make"));
        assert_eq!(unknown_label("[stage-1 3/9] RUN a"), shown("RUN a"));
        assert_eq!(unknown_label("[odd] RUN a"), shown("[odd] RUN a"));
        let long = format!("[1/2] RUN {}", "x".repeat(100));
        let expected = format!("RUN {}...", "x".repeat(53));
        assert_eq!(unknown_label(&long), shown(&expected));
        assert_eq!(unknown_label("[auth] pull"), Label::Hidden);
        let digest = format!("FROM debian@sha256:{}", "0".repeat(64));
        assert_eq!(unknown_label(&digest), shown("FROM debian@000000000000"));
    }
}
