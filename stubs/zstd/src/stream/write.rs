//! The compressor that writes.

use std::io::{self, Write};
use std::marker::PhantomData;

/// Fails on every write.
pub struct Encoder<'a, W: Write>(W, PhantomData<&'a ()>);

impl<W: Write> Encoder<'_, W> {
    /// The second parameter is the level.
    ///
    /// # Errors
    /// Never.
    pub fn new(destination: W, _: i32) -> io::Result<Self> {
        Ok(Self(destination, PhantomData))
    }

    /// The other parameters are the level and the dictionary.
    ///
    /// # Errors
    /// Never.
    pub fn with_dictionary(destination: W, level: i32, _: &[u8]) -> io::Result<Self> {
        Self::new(destination, level)
    }

    /// The destination.
    pub fn get_ref(&self) -> &W {
        &self.0
    }

    /// The destination.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.0
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Always.
    pub fn do_finish(&mut self) -> io::Result<()> {
        unsupported()
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    fn flush(&mut self) -> io::Result<()> {
        unsupported()
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}
