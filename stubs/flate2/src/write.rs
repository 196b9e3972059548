//! The compressors that write.

use std::io::{self, Write};

use crate::{Compression, unsupported};

/// Fails on every write.
pub struct GzEncoder<W: Write>(W);

impl<W: Write> GzEncoder<W> {
    /// The parameter is the level.
    pub fn new(destination: W, _: Compression) -> Self {
        Self(destination)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Always.
    pub fn try_finish(&mut self) -> io::Result<()> {
        unsupported()
    }

    /// The destination.
    pub fn get_ref(&self) -> &W {
        &self.0
    }

    /// The destination.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.0
    }
}

impl<W: Write> Write for GzEncoder<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    fn flush(&mut self) -> io::Result<()> {
        unsupported()
    }
}

/// Fails on every write.
pub struct GzDecoder<W: Write>(W);

impl<W: Write> GzDecoder<W> {
    /// Writes to `destination`.
    pub fn new(destination: W) -> Self {
        Self(destination)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Always.
    pub fn try_finish(&mut self) -> io::Result<()> {
        unsupported()
    }

    /// The destination.
    pub fn get_ref(&self) -> &W {
        &self.0
    }

    /// The destination.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.0
    }
}

impl<W: Write> Write for GzDecoder<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    fn flush(&mut self) -> io::Result<()> {
        unsupported()
    }
}
