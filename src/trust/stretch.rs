//! Argon2id over the cluster secret, so that guessing it costs memory and time per guess.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::error::TrustError;
use super::secret::Secret;

/// Changing any of these puts agents of different versions into different clusters.
const SALT: &[u8] = b"skep cluster secret v1";
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// glibc raises its threshold for `mmap` to the size of the largest block freed so far, up to 32 MiB; from
/// then on the next 19 MiB would come from a heap that is not given back. A reservation above that limit is
/// always mapped and unmapped alone, and what is not touched of it costs nothing.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Stretches the secret into a uniform key, and gives the memory back to the system.
pub(super) fn stretch(secret: &Secret) -> Result<Zeroizing<[u8; 32]>, TrustError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(TrustError::Stretch)?;
    let mut memory: Vec<Block> = Vec::new();
    memory
        .try_reserve_exact(RESERVED_BLOCKS)
        .map_err(|_| TrustError::Stretch(argon2::Error::OutOfMemory))?;
    memory.resize(params.block_count(), Block::new());

    let mut key = Zeroizing::new([0; 32]);
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret.expose(), SALT, &mut *key, &mut memory);
    memory.iter_mut().for_each(Zeroize::zeroize);
    hashed.map_err(TrustError::Stretch)?;
    Ok(key)
}
