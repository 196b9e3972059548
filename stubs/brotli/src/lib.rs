//! Stands in for the crate of this name. Pingora links it to compress and decompress
//! answers, and has no feature to leave it out; skep passes bodies on as they are.
//! So the program is smaller, and there is less code to trust.
//!
//! Should anything switch compression on, each write fails.

use std::io::{self, Write};

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails on every write.
pub struct CompressorWriter<W: Write>(W);

impl<W: Write> CompressorWriter<W> {
    /// The parameters are the buffer's size, the quality, and the size of the window.
    pub fn new(destination: W, _: usize, _: u32, _: u32) -> Self {
        Self(destination)
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

impl<W: Write> Write for CompressorWriter<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    fn flush(&mut self) -> io::Result<()> {
        unsupported()
    }
}

/// Fails on every write.
pub struct DecompressorWriter<W: Write>(W);

impl<W: Write> DecompressorWriter<W> {
    /// The parameter is the buffer's size.
    pub fn new(destination: W, _: usize) -> Self {
        Self(destination)
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

impl<W: Write> Write for DecompressorWriter<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    fn flush(&mut self) -> io::Result<()> {
        unsupported()
    }
}
