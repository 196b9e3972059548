//! Names the checks of a policy beyond a request's group: the inspector of the
//! query, and that of the body.
//!
//! The inspectors are in [`policy`](crate::policy).

use super::route::ObjectIn;

/// The check of the path and the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCheck {
    /// Nothing there grants anything.
    Nothing,
    /// The image that is pulled; without `fromImage` the source of an import.
    PullOrImport,
    /// Its body gives images their names, which only the engine can read.
    LoadsImages,
    /// The image in the path, from which a container is created.
    UsesImage,
    /// It gives an image a name.
    NamesImage,
    /// The port of the container to which it connects.
    Port,
    /// The options of a build.
    Build,
    /// It opens BuildKit's own protocol, which no policy can read.
    BuildKit,
    /// It installs or changes an engine plugin, which runs as root.
    Plugin,
    /// It makes the engine ask a registry about this image.
    LookUp(ObjectIn),
    /// It makes the engine search a registry.
    Search,
    /// It may return a service to its previous specification.
    Rollback,
    /// It stops or removes a container, which may have to be created again.
    EndsContainer,
    /// It removes whatever containers are stopped.
    EndsContainers,
    /// The network in the path, which is removed.
    NetworkRemoval,
    /// The name of the network in the path.
    NetworkName,
    /// The directory of the host in this parameter, where checkpoints are.
    CheckpointDir(&'static str),
    /// The arguments of `ps`, which can show environments.
    PsArguments,
}

/// The check of a JSON body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCheck {
    /// Nothing there grants anything.
    Nothing,
    /// A new container.
    ContainerCreate,
    /// A container's new limits.
    ContainerUpdate,
    /// A new exec.
    ExecCreate,
    /// A new checkpoint.
    CheckpointCreate,
    /// A service's specification.
    ServiceSpec,
    /// A new volume.
    VolumeCreate,
    /// A cluster volume's new specification.
    VolumeUpdate,
    /// A new network.
    NetworkCreate,
    /// A container's settings in a network.
    NetworkConnect,
    /// Credentials, and the registry that they are for.
    RegistryAuth,
    /// The labels of a secret or a config.
    Labels,
}
