//! Images as values: their labels, their tags, searching them, and how stale they are.
//!
//! Pure: the engine lists them, `commands` combines both.

pub mod dkr_conf;
pub mod dockerfile;
pub mod labels;
pub mod names;
pub mod own;
pub mod reference;
pub mod runtime;
pub mod search;
pub mod staleness;

pub use labels::{ImageType, Labels};
pub use own::{Foreign, Images};
pub use search::{BakedImage, Query, Row};
pub use staleness::{Staleness, Verdict};
