//! Whether a container is kept when it has ended (`--keep`).

/// The value of `--keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Only if it holds unsaved work.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never, even with unsaved work.
    Never,
}

impl Keep {
    /// The value of a container's label; `Auto` if it is unknown.
    pub fn of_label(word: &str) -> Self {
        match word {
            "always" => Keep::Always,
            "never" => Keep::Never,
            _ => Keep::Auto,
        }
    }

    /// The value as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Keep::Auto => "auto",
            Keep::Always => "always",
            Keep::Never => "never",
        }
    }
}
