//! Keeps one helper for each container that callers are connected to, until it has been
//! idle for a while, or the container ends.

mod leased;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use skep_filters::policy::scope::Kind;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::direct;
use super::engine::Engine;
use super::helper::{Helper, Wire};
use super::link::{Link, MOST, OpenError};
use super::problem::Problem;
use super::target::Target;
use crate::exchange::reject::Reject;
use crate::platform::Duplex;

/// How long a helper without connections is kept.
const IDLE: Duration = Duration::from_secs(60);

/// The most helpers of one node.
const HELPERS: usize = 64;

/// The helpers of this node.
#[derive(Default)]
pub(crate) struct Helpers {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// They end with the agent.
    tasks: Mutex<JoinSet<()>>,
}

/// The place of one container's helper. It is locked while one starts, so that there
/// are never two.
type Slot = AsyncMutex<Option<Arc<Running>>>;

/// A helper that runs, and who uses it.
struct Running {
    target: Target,
    link: Link,
    users: watch::Sender<usize>,
    ended: watch::Receiver<bool>,
}

/// One use of a helper, which keeps it from being idle.
struct Lease(Arc<Running>);

impl Lease {
    /// Refused if the container has as many connections as it may.
    fn of(running: &Arc<Running>) -> Result<Self, Problem> {
        let most = MOST as usize;
        let taken = running.users.send_if_modified(|users| {
            let is_free = *users < most;
            *users += usize::from(is_free);
            is_free
        });
        match taken {
            true => Ok(Self(running.clone())),
            false => Err(Problem::Full {
                name: running.target.name.clone(),
                most,
            }),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.users.send_modify(|users| *users -= 1);
    }
}

impl Running {
    fn serves(&self, target: &Target) -> bool {
        !*self.ended.borrow() && self.target.started == target.started
    }
}

impl Helpers {
    /// Starts the helper of a container, if it needs one that does not run yet.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) async fn ready(&self, engine: &Engine, target: &Target) -> Result<(), Reject> {
        if self.lease(engine, target).await?.is_none() {
            direct::check(target)?;
        }
        Ok(())
    }

    /// A connection to a port of the container.
    ///
    /// # Errors
    /// If nothing accepts it, or the helper does not start.
    pub(super) async fn connect(
        &self,
        engine: &Engine,
        target: &Target,
        port: u16,
    ) -> Result<Box<dyn Duplex>, Reject> {
        let mut lost = String::new();
        // A helper may end at the very moment in which it is needed again.
        for _ in 0..2 {
            let Some(lease) = self.lease(engine, target).await? else {
                return direct::connect(engine, target, port).await;
            };
            match open(lease, target, port).await {
                Ok(connection) => return Ok(connection),
                Err(OpenError::Refused(reason)) => return Err(refused(target, port, reason)),
                Err(OpenError::Lost(reason)) => lost = reason,
            }
        }
        Err(Problem::Helper {
            name: target.name.clone(),
            reason: lost,
        }
        .into())
    }

    /// A connection through a helper that runs, without a look at the container; `None`
    /// if there is none, or it fails.
    pub(super) async fn connect_again(
        &self,
        engine: &Engine,
        id: &str,
        port: u16,
    ) -> Option<Box<dyn Duplex>> {
        let guarded = engine.cluster.guarded()?;
        if guarded.has_id(Kind::Container, id) {
            return None;
        }
        let slot = self.lock().get(id)?.clone();
        let running = slot.try_lock().ok()?.clone()?;
        if *running.ended.borrow() {
            return None;
        }
        let lease = Lease::of(&running).ok()?;
        open(lease, &running.target, port).await.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The helper of a container; `None` if the agent runs outside of a container, and so
    /// has no image to make one of.
    async fn lease(&self, engine: &Engine, target: &Target) -> Result<Option<Lease>, Reject> {
        let slot = self.slot(&target.id)?;
        let mut place = slot.lock().await;
        if let Some(running) = place.as_ref().filter(|running| running.serves(target)) {
            return Ok(Some(Lease::of(running)?));
        }
        let failed = |reason| Problem::Helper {
            name: target.name.clone(),
            reason,
        };
        let own = engine.cluster.own_container().await.map_err(failed)?;
        let Some(own) = own else {
            return Ok(None);
        };
        // To its end, also if the caller is gone: half a helper would stay.
        let start = (engine.clone(), target.clone());
        let started = tokio::spawn(async move { Helper::start(&start.0, &own, &start.1).await });
        let started = started.await.map_err(|e| failed(e.to_string()))?;
        let (helper, wire) = started.map_err(failed)?;
        let (ending, ended) = watch::channel(false);
        let running = Arc::new(Running {
            target: target.clone(),
            link: helper.link.clone(),
            users: watch::Sender::new(0),
            ended,
        });
        let lease = Lease::of(&running)?;
        *place = Some(running.clone());
        let life = Life {
            engine: engine.clone(),
            running: Arc::downgrade(&running),
            slot: slot.clone(),
            ending,
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(life.run(helper, wire, target.clone(), running.users.subscribe()));
        Ok(Some(lease))
    }

    /// The place of a container's helper.
    fn slot(&self, id: &str) -> Result<Arc<Slot>, Problem> {
        let mut slots = self.lock();
        slots.retain(|_, slot| {
            let is_empty = slot.try_lock().is_ok_and(|place| place.is_none());
            Arc::strong_count(slot) > 1 || !is_empty
        });
        if !slots.contains_key(id) && slots.len() >= HELPERS {
            return Err(Problem::Busy(HELPERS));
        }
        Ok(slots.entry(id.to_owned()).or_default().clone())
    }
}

async fn open(lease: Lease, target: &Target, port: u16) -> Result<Box<dyn Duplex>, OpenError> {
    let stream = lease.0.link.open(port, &target.addresses).await?;
    Ok(Box::new(leased::Leased::new(stream, lease)))
}

fn refused(target: &Target, port: u16, reason: String) -> Reject {
    let name = target.name.clone();
    Problem::Refused { name, port, reason }.into()
}

/// What goes on while a helper runs.
struct Life {
    engine: Engine,
    running: Weak<Running>,
    slot: Arc<Slot>,
    ending: watch::Sender<bool>,
}

impl Life {
    /// Runs until the helper ends, its target does, or nobody has used it for a while.
    async fn run(
        self,
        helper: Helper,
        mut wire: Wire,
        target: Target,
        users: watch::Receiver<usize>,
    ) {
        let why = tokio::select! {
            ended = &mut wire => match ended {
                Ok(()) => "it has ended".to_owned(),
                Err(e) => e.to_string(),
            },
            () = self.engine.ended(&target.id) => "its target has ended".to_owned(),
            () = self.idle(users) => "nobody uses it any more".to_owned(),
        };
        tracing::debug!("the helper for container {} ends: {why}", target.name);
        let _ = self.ending.send(true);
        // The engine closes the helper's input with this connection.
        drop(wire);
        helper.remove().await;
        let mut place = self.slot.lock().await;
        if let Some(running) = place.as_ref()
            && Weak::ptr_eq(&Arc::downgrade(running), &self.running)
        {
            *place = None;
        }
    }

    /// Resolves when the helper has had no connection for a while, and gets no other.
    async fn idle(&self, mut users: watch::Receiver<usize>) {
        loop {
            let is_unused = users.wait_for(|users| *users == 0).await.is_ok();
            if !is_unused {
                return;
            }
            let used = tokio::select! {
                () = sleep(IDLE) => false,
                changed = users.changed() => changed.is_ok(),
            };
            if used {
                continue;
            }
            // Nobody gets it while the place is locked.
            let mut place = self.slot.lock().await;
            if *users.borrow() == 0 {
                let is_ours = place
                    .as_ref()
                    .is_some_and(|running| Weak::ptr_eq(&Arc::downgrade(running), &self.running));
                if is_ours {
                    *place = None;
                }
                return;
            }
        }
    }
}
