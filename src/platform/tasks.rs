//! Runs named tasks that live as long as their owner. A task that ends sooner, or
//! panics, is an error that names it: an agent must not run without one of them.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, pending};
use std::panic::resume_unwind;

use tokio::task::{Id, JoinError, JoinSet};

/// A task ended that should still run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task returned.
    #[error("the background task {0:?} has ended, which it must not")]
    Ended(String),
    /// The task panicked.
    #[error("the background task {task:?} panicked: {message}")]
    Panicked {
        /// Its name.
        task: String,
        /// The message of the panic.
        message: String,
    },
}

/// Named tasks, which are aborted on drop.
pub(crate) struct Tasks<T> {
    running: JoinSet<T>,
    names: HashMap<Id, String>,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self {
            running: JoinSet::new(),
            names: HashMap::new(),
        }
    }
}

impl<T: Send + 'static> Tasks<T> {
    /// Starts a task under this name.
    pub(crate) fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name.into());
    }

    /// Resolves when a task ends, with its result if it returned; never without a
    /// task.
    pub(crate) async fn failed(&mut self) -> (TaskError, Option<T>) {
        match self.running.join_next_with_id().await {
            Some(Ok((id, left))) => (TaskError::Ended(self.name(id)), Some(left)),
            Some(Err(error)) => (self.panicked(error), None),
            None => pending().await,
        }
    }

    /// Waits until all tasks have ended, and returns their results.
    pub(crate) async fn ended(&mut self) -> Vec<T> {
        let mut left = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            left.extend(ended.ok());
        }
        left
    }

    /// Aborts all tasks at once.
    pub(crate) async fn abort(&mut self) {
        self.running.shutdown().await;
    }

    fn name(&mut self, id: Id) -> String {
        self.names.remove(&id).unwrap_or_default()
    }

    fn panicked(&mut self, error: JoinError) -> TaskError {
        let task = self.name(error.id());
        match error.try_into_panic() {
            Ok(panic) => TaskError::Panicked {
                task,
                message: message(&*panic),
            },
            Err(_) => TaskError::Ended(task),
        }
    }
}

/// Runs blocking work. If it panics, so does the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The work was cancelled: the runtime ends, and the caller with it.
            Err(_) => pending().await,
        },
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks<u8> {
        let mut tasks = Tasks::default();
        tasks.spawn("patient", pending());
        tasks
    }

    #[tokio::test]
    async fn a_task_that_ends_is_named() {
        let mut tasks = tasks();
        tasks.spawn("hasty", async { 7 });
        let (error, left) = tasks.failed().await;
        assert_eq!(error, TaskError::Ended("hasty".to_owned()));
        assert_eq!(left, Some(7));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named_with_its_message() {
        let mut tasks = tasks();
        tasks.spawn("careless", async { panic!("no {}", "way") });
        let (error, left) = tasks.failed().await;
        let text = error.to_string();
        assert!(
            text.contains("\"careless\"") && text.contains("no way"),
            "{text}"
        );
        assert_eq!(left, None);
    }

    #[tokio::test]
    async fn a_panic_in_blocking_work_is_a_panic_of_the_task() {
        let mut tasks = tasks();
        tasks.spawn("reader", blocking(|| panic!("it blocks")));
        let (error, _) = tasks.failed().await;
        assert!(matches!(error, TaskError::Panicked { task, .. } if task == "reader"));
    }

    #[tokio::test]
    async fn tasks_that_may_end_return_their_results() {
        let mut tasks = Tasks::default();
        for n in 0..3 {
            tasks.spawn("one", async move { n });
        }
        let mut left = tasks.ended().await;
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2]);
    }
}
