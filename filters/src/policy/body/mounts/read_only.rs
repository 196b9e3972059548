//! Decides whether a read-only bind of a container or a service can be written.
//!
//! A bind brings the mounts below its source along, unless it is not recursive
//! (`NonRecursive`, API 1.40; of services 1.41). Engines before 25.0 make only the
//! top of it read-only, and so do newer ones for requests below API 1.44.

use crate::endpoint::ApiVersion;
use crate::policy::body::mount_options::propagation::Propagation;

/// A bind of a container or a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bind {
    /// `ro`, or `ReadOnly`.
    pub(crate) read_only: bool,
    /// `NonRecursive`: without the mounts below.
    pub(crate) non_recursive: bool,
    /// `ReadOnlyNonRecursive`: the mounts below stay writable.
    pub(crate) read_only_top: bool,
    /// Mounts that the host adds later arrive with its own options, writable.
    pub(crate) propagation: Propagation,
}

/// Whether nothing of it can be written, by a request that the engine carries out
/// in this version of the API.
pub(crate) fn is_read_only(bind: &Bind, api: ApiVersion, flat_since: ApiVersion) -> bool {
    let is_flat = bind.non_recursive && api >= flat_since;
    let is_deep = !bind.read_only_top && api >= DEEP_SINCE;
    bind.read_only && bind.propagation == Propagation::Private && (is_flat || is_deep)
}

/// The version in which read-only reaches the mounts below.
pub(crate) const DEEP_SINCE: ApiVersion = ApiVersion::new(1, 44);

/// The version in which containers have `NonRecursive`.
pub(crate) const FLAT_CONTAINER: ApiVersion = ApiVersion::new(1, 40);

/// The version in which services have `NonRecursive`.
pub(crate) const FLAT_SERVICE: ApiVersion = ApiVersion::new(1, 41);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_depends_on_the_version_and_the_mounts_below() {
        let bind = |read_only, non_recursive, read_only_top| Bind {
            read_only,
            non_recursive,
            read_only_top,
            propagation: Propagation::Private,
        };
        let plain = bind(true, false, false);
        let flat = bind(true, true, false);
        let top = bind(true, false, true);
        for (bind, minor, expected) in [
            (plain, 24, false),
            (plain, 41, false),
            (plain, 43, false),
            (plain, 44, true),
            (plain, 53, true),
            (flat, 39, false),
            (flat, 40, true),
            (flat, 41, true),
            (flat, 53, true),
            (top, 43, false),
            (top, 44, false),
            (top, 53, false),
            (bind(true, true, true), 41, true),
            (bind(true, true, true), 44, true),
            (bind(false, false, false), 53, false),
            (bind(false, true, false), 53, false),
        ] {
            let api = ApiVersion::new(1, minor);
            assert_eq!(
                is_read_only(&bind, api, FLAT_CONTAINER),
                expected,
                "{bind:?} {api}"
            );
            for propagation in [Propagation::Slave, Propagation::Shared] {
                let bind = Bind {
                    propagation,
                    ..bind
                };
                assert!(!is_read_only(&bind, api, FLAT_CONTAINER), "{bind:?} {api}");
            }
        }
        assert!(!is_read_only(&flat, ApiVersion::new(1, 40), FLAT_SERVICE));
        assert!(is_read_only(&flat, ApiVersion::new(1, 41), FLAT_SERVICE));
    }
}
