//! Says how to enforce a scope on a request, that is, how to limit it to objects
//! with the labels of the caller's policy.

/// How to enforce a scope on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: it concerns no object with an owner.
    Unscoped,
    /// As [`Unscoped`](Self::Unscoped), but a build may not join a network.
    Build,
    /// Narrow the query: [`Scope::narrow`](crate::policy::scope::Scope::narrow).
    List,
    /// Inspect the object first: [`Scope::holds`](crate::policy::scope::Scope::holds).
    Object(Kind),
    /// Inspect the object first, and put the labels into the body.
    Replace(Kind),
    /// Put the labels into the body: [`Scope::stamp`](crate::policy::scope::Scope::stamp).
    /// The objects that the body names must be in scope:
    /// [`Scope::references`](crate::policy::scope::Scope::references).
    Create(Kind),
    /// Inspect the network, and the container that the body names.
    NetworkAndContainer,
    /// Refuse it: it shows or changes objects outside any scope.
    Forbidden,
}

/// Kinds of objects with labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An exec: its container decides, which its inspect names in `ContainerID`.
    Exec,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// A service.
    Service,
    /// A service's task.
    Task,
    /// A secret.
    Secret,
    /// A config.
    Config,
}
