//! The names of enumerated values in flags, variables and the user configuration. They are here because
//! the types themselves do not depend on clap.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::bake::create::CloneMode;
use crate::bake::transport::{BuildNetwork, TransportMode};
use crate::bake::update::DriftAnswer;
use crate::container::Keep;
use crate::container::staleness::StaleAnswer;
use crate::ui::progress::ProgressMode;

macro_rules! choices {
    ($($type:ident { $($variant:ident = $word:literal),+ })+) => {$(
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$variant),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                let word = match self { $(Self::$variant => $word),+ };
                Some(PossibleValue::new(word))
            }
        }
    )+};
}

choices! {
    BuildNetwork { Default = "default", Host = "host", None = "none" }
    CloneMode { Full = "full", Packs = "packs" }
    DriftAnswer { Ask = "ask", Bake = "bake", Ignore = "ignore", Fail = "fail" }
    Keep { Auto = "auto", Always = "always", Never = "never" }
    ProgressMode { Auto = "auto", Plain = "plain", Tty = "tty", Quiet = "quiet" }
    StaleAnswer { Ask = "ask", Update = "update", Proceed = "proceed", Fail = "fail" }
    TransportMode { Auto = "auto", Ssh = "ssh", Session = "session" }
}
