//! Finds the API version in which an engine carries a request out: policies grant by
//! what the engine does in this version.

use skep_filters::endpoint::{ApiVersion, BodyCheck};

use crate::cluster::Cluster;
use crate::cluster::identity::ApiRange;
use crate::exchange::Call;

/// The version of the path, or else the newest of this node's engine. Another node
/// that gets the request judges it again by its own engine.
pub(crate) fn effective(cluster: &Cluster, asked: &Call<'_>) -> ApiVersion {
    let found = asked.found.map(|found| found.endpoint.body_check());
    let is_service = found == Some(BodyCheck::ServiceSpec);
    let own = cluster.me().engine.as_ref().and_then(|e| e.range());
    of(asked.path.version(), own, &cluster.ranges(), is_service)
}

fn of(
    asked: Option<ApiVersion>,
    own: Option<ApiRange>,
    all: &[ApiRange],
    is_service: bool,
) -> ApiVersion {
    let newest = own.map_or(ApiVersion::OLDEST_ENGINE, |range| range.max);
    let version = asked.unwrap_or(newest);
    // Every node may get a task. And the engine of a single node may be one that does not
    // refuse versions that it lacks.
    let bounds = all.iter().filter(|_| is_service || all.len() == 1);
    bounds.fold(version, |version, range| version.min(range.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_of_the_path_or_the_engine() {
        let v = |minor| ApiVersion::new(1, minor);
        let engine = |min, max| ApiRange {
            min: v(min),
            max: v(max),
        };
        let (old, new) = (engine(12, 41), engine(24, 51));
        for (asked, own, all, is_service, expected) in [
            (None, Some(new), &[new, new][..], false, 51),
            (None, Some(old), &[old, new], false, 41),
            (None, None, &[], false, 41),
            (Some(43), Some(new), &[new, new], false, 43),
            (Some(44), Some(new), &[new], false, 44),
            (Some(44), Some(old), &[old], false, 41),
            (Some(44), Some(old), &[old, new], false, 44),
            (Some(44), Some(new), &[old, new], true, 41),
            (None, Some(new), &[new, new], true, 51),
            (Some(40), Some(new), &[new], true, 40),
        ] {
            let asked = asked.map(v);
            assert_eq!(
                of(asked, own, all, is_service),
                v(expected),
                "{asked:?} {own:?} {all:?}"
            );
        }
    }
}
