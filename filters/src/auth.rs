//! Authenticates callers by a strict profile of HTTP Message Signatures.
//!
//! [RFC 9421] leaves almost everything to the application; this profile leaves
//! nothing to the message. [`profile`] lists the components that a signature covers,
//! their order and the parameters. [`Signer`] writes exactly this form, and
//! [`Verifier`] accepts no other. A signature covers a body through its
//! `Content-Digest` ([RFC 9530], [`digest`]).
//!
//! Callers pass the time, the nonces and the keys: nothing here reads a clock, a
//! file or a random source. This module does not decide what a caller *may do*, and
//! does not handle certificates. [`portainer`] verifies the signatures of Portainer
//! servers.
//!
//! [RFC 9421]: https://www.rfc-editor.org/rfc/rfc9421
//! [RFC 9530]: https://www.rfc-editor.org/rfc/rfc9530

mod audience;
mod base;
mod body;
pub mod digest;
mod document;
mod error;
mod key;
mod params;
pub mod portainer;
mod principal;
pub mod profile;
mod replay;
mod signer;
pub mod strip;
mod verifier;
mod window;

#[cfg(test)]
mod tests;

pub use audience::{Audience, Audiences, BadAudience};
pub use body::BodyBinding;
pub use error::{AuthError, KeyError};
pub use key::{Key, KeyKind, MIN_SECRET_BYTES, SigningKey, trim_secret};
pub use principal::{Client, OnBehalfOf, Principal};
pub use replay::NonceMemory;
pub use signer::{SignatureHeaders, Signer};
pub use verifier::{ValidSignature, Verifier};
pub use window::Window;
