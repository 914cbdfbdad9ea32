//! Authentication that others can read. Only its kind is kept, never its bytes.

use serde::{Deserialize, Serialize};

/// Authentication seen in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// Whether the secret itself can be read, or only that somebody proved to know one.
    pub readable: bool,
    /// How, in the words of its protocol: `HTTP Basic`, `SCRAM`.
    pub mechanism: &'static str,
}
