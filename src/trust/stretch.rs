//! Argon2id over the cluster secret, so that each guess costs memory and time.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::error::TrustError;
use super::secret::Secret;

/// With another value here, agents of different versions would be in different
/// clusters.
const SALT: &[u8] = b"skep cluster secret v1";
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// glibc raises its threshold for `mmap` to the size of the largest freed
/// block, up to 32 MiB. After that the next 19 MiB would come from the heap,
/// which is not returned to the system. A larger reservation is always mapped
/// and unmapped alone, and its untouched part costs nothing.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Stretches the secret into a uniform key, and returns the memory to the
/// system.
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
