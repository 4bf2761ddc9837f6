//! Whether a container is kept when it has ended (`--keep`).

/// The user's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Only if it holds work that is nowhere else.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never, whatever it holds.
    Never,
}

impl Keep {
    /// The wish that a container's label names.
    pub fn of_label(word: &str) -> Self {
        match word {
            "always" => Keep::Always,
            "never" => Keep::Never,
            _ => Keep::Auto,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Keep::Auto => "auto",
            Keep::Always => "always",
            Keep::Never => "never",
        }
    }
}
