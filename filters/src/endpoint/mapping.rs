//! Names what has to be mapped where a request goes to an engine in another version of
//! the API than its client asked for. `translate` maps it.

/// The part of a request or of an answer whose meaning changed between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// The answer is a container.
    Container,
    /// The body says what a new container is.
    ContainerCreate,
    /// The answer is an image.
    Image,
    /// The answer is a list of images.
    Images,
    /// The answer says how much space objects take, and has a list of images in it.
    DataUsage,
    /// The answer is a stream of events.
    Events,
    /// The body says what a new volume is.
    VolumeCreate,
    /// The body says what a new network is.
    NetworkCreate,
    /// The query says which volumes are removed.
    VolumePrune,
    /// The query says how much of a cache is kept.
    BuildPrune,
    /// The query says which platforms of an image are removed.
    ImageRemoval,
}
