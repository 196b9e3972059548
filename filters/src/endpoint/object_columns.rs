//! Says what a call does with its object: the columns for tasks, for containers that
//! are created again, and for labels.

/// What a call does with a container, if it may name a task of a service instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskUse {
    /// Inspects it, as the CLI does before it runs a command or reads logs.
    Look,
    /// Reads also from one that has ended.
    Read,
    /// Uses a running one.
    Run,
    /// Connects to a running one; of a service, to any of its tasks.
    Connect,
    /// Stops or pauses it: not by the name of a service.
    Control,
}

/// How a call frees the name of a container, which is often created again next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFreed {
    /// It removes the container.
    Removed,
    /// It gives the container the name in the query.
    Renamed,
}

/// Where an inspect has the labels of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsAt {
    /// In the object itself.
    Top,
    /// In its member `Config`.
    Config,
}
