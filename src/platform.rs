//! Everything that differs between operating systems, behind one set of names.
//!
//! Nothing outside this module names a Unix or a Windows type. It is not the
//! place for policy: callers decide what a readable secret or a missing socket
//! means.

pub mod clock;

#[cfg(unix)]
#[path = "platform/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "platform/windows.rs"]
mod system;

pub use system::*;
