//! Says what happens while it happens.

use std::io::{self, Write};

/// Where the operator reads.
pub(crate) struct Voice<'a>(&'a mut dyn Write);

impl<'a> Voice<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self(out)
    }

    /// Writes one line or more, at once.
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.0, "{text}")?;
        self.0.flush()
    }
}
