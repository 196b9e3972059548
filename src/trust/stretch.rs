//! Stretches the cluster secret with Argon2id, so that each guess costs memory
//! and time.

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

/// How much to reserve, in blocks of 1 KiB. The untouched part costs nothing.
///
/// An allocator that keeps freed memory for later keeps 19 MiB: glibc on its heap, mimalloc in
/// an arena, where the next thread that starts gets them, still resident, for as long as it
/// lives. Neither has room for so much: glibc maps what is above 32 MiB alone, mimalloc what
/// does not fit into an arena of 1 GiB (its `mi_arena_reserve`). So it is unmapped when freed.
const RESERVED_BLOCKS: usize = 1024 * 1024;

/// Stretches the secret into a uniform key, and returns the memory to the
/// system.
pub(super) fn stretch(secret: &Secret) -> Result<Zeroizing<[u8; 32]>, TrustError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(TrustError::Stretch)?;
    let mut memory: Vec<Block> = Vec::new();
    // A system that counts untouched memory may refuse that much.
    memory
        .try_reserve_exact(RESERVED_BLOCKS)
        .or_else(|_| memory.try_reserve_exact(params.block_count()))
        .map_err(|_| TrustError::Stretch(argon2::Error::OutOfMemory))?;
    memory.resize(params.block_count(), Block::new());

    let mut key = Zeroizing::new([0; 32]);
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret.expose(), SALT, &mut *key, &mut memory);
    memory.iter_mut().for_each(Zeroize::zeroize);
    hashed.map_err(TrustError::Stretch)?;
    Ok(key)
}
