//! What held, and what didn't.

use std::fmt::Display;

use crate::Fallible;

/// Says of each promise whether it held, and remembers.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    broken: Vec<String>,
}

impl Verdict {
    /// Whether a promise held.
    pub(crate) fn check(&mut self, held: bool, promise: impl Display) {
        println!("{}: {promise}", if held { "held" } else { "BROKEN" });
        if !held {
            self.broken.push(promise.to_string());
        }
    }

    /// # Errors
    /// If a promise didn't hold.
    pub(crate) fn done(self) -> Fallible<()> {
        match self.broken.as_slice() {
            [] => Ok(()),
            broken => Err(format!("broken: {}", broken.join("; ")).into()),
        }
    }
}
