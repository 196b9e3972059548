//! Keeps what this agent says of its own node: who it is, how its engine answers, and
//! what belongs to it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use skep_filters::policy::{Guarded, Marks, Named};
use tokio::time::{Instant, sleep, timeout};

use super::Cluster;
use super::identity::{self, Identity};
use super::own_objects::OwnContainer;
use crate::platform::clock::{self, Moment};

/// The rounds in a row in which this node's engine may be silent.
pub(super) const ENGINE_MISSES: u32 = 1;

impl Cluster {
    /// Reads who this node is, and what belongs to its agent.
    pub(crate) async fn look(&self) {
        self.refresh_identity(&|_| {}).await;
        self.unite_guarded();
    }

    /// Guards the marks of another configuration.
    pub(crate) fn set_marks(&self, marks: Marks) {
        self.marks.store(Arc::new(marks));
        self.unite_guarded();
        // The others learn of them in its answers.
        self.wake.notify_one();
    }

    /// Records that this agent has taken a version of the people's list. Those whom it
    /// follows, and those who follow it, learn of it at once.
    pub(crate) fn took_people(&self, version: u64) {
        self.versions.took(version);
        self.own_change.notify_one();
    }

    /// Guards the configs that have the people's list, by id and name.
    pub(crate) fn guard_people(&self, configs: Vec<(String, String)>) {
        let configs = configs.into_iter().map(|(id, name)| Named {
            id,
            names: vec![name],
        });
        self.people_configs.store(Arc::new(configs.collect()));
        self.unite_guarded();
    }

    /// This agent's own container; `None` if it runs in none.
    ///
    /// # Errors
    /// A sentence, if the engine does not answer.
    pub(crate) async fn own_container(&self) -> Result<Option<OwnContainer>, String> {
        let read = timeout(self.list_deadline, self.own.own_container()).await;
        read.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.list_deadline)))
    }

    /// Guards a container that this agent has made for itself.
    pub(crate) fn guard_helper(&self, helper: Named) {
        self.own.lock_helpers().push(helper);
        self.unite_guarded();
    }

    /// The containers that this agent has made for itself.
    pub(crate) fn helpers(&self) -> Vec<Named> {
        self.own.helpers()
    }

    /// Forgets such a container, which is gone.
    pub(crate) fn forget_helper(&self, id: &str) {
        self.own.lock_helpers().retain(|helper| helper.id != id);
        self.unite_guarded();
    }

    pub(super) fn unite_guarded(&self) {
        let Some(mut all) = self.me.load().guarded.clone() else {
            return;
        };
        all.marks.add(&self.marks.load());
        for helper in self.own.helpers() {
            if !all.containers.contains(&helper) {
                all.containers.push(helper);
            }
        }
        for member in self.others() {
            all.add(&member.guarded);
        }
        all.configs
            .extend(self.people_configs.load().iter().cloned());
        if self.guarded.load().as_deref() != Some(&all) {
            self.guarded.store(Some(Arc::new(all)));
        }
    }

    /// Whether this round leaves out what belongs to the agent: in a large cluster every
    /// second one does, for an engine on a manager has enough other questions.
    fn spares_engine(&self, now: &Identity, before: &Identity) -> bool {
        let is_odd = self.rounds.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let is_same = now.node_id == before.node_id && now.manager == before.manager;
        is_odd && is_same && !self.is_small()
    }

    /// The objects of this node's agent; as before, if the engine does not say.
    async fn own_objects(&self, now: &Identity, before: &Identity) -> Option<Guarded> {
        let others = self.others();
        let services = others.iter().flat_map(|member| &member.guarded.services);
        let services = services.map(|service| service.id.clone()).collect();
        let read = timeout(self.deadline, self.own.read(now.can_manage(), &services)).await;
        let reason = match read {
            Ok(Ok(mut guarded)) => {
                guarded.marks = self.marks.load().as_ref().clone();
                return Some(guarded);
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {:?}", self.deadline),
        };
        match &before.guarded {
            Some(_) => tracing::debug!("the agent's own objects could not be read: {reason}"),
            None => tracing::error!(
                "the agent's own objects are not known, and callers with a policy can only read: {reason}"
            ),
        }
        before.guarded.clone()
    }

    /// Gives the image of this node's agent its name back, if a load or a build has given
    /// the name to another image: the agent would be that one at its next start.
    pub(crate) async fn keep_image_name(&self) {
        let reason = match timeout(self.deadline, self.own.keep_image_name()).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {:?}", self.deadline),
        };
        tracing::error!(
            "the name of the agent's image could not be checked after a load or a build: {reason}"
        );
    }

    pub(super) async fn refresh_identity(&self, changed: &impl Fn(&Identity)) {
        let before = self.me.load_full();
        let mut now = match Box::pin(self.ask_engine()).await {
            Asked::Answered(mut now) => {
                self.engine_misses.store(0, Ordering::Relaxed);
                self.set_engine_silent(false);
                now.guarded = match &before.guarded {
                    Some(guarded) if self.spares_engine(&now, &before) => Some(guarded.clone()),
                    _ => self.own_objects(&now, &before).await,
                };
                *now
            }
            Asked::Slow => return,
            asked => {
                self.set_engine_silent(true);
                let misses = self.engine_misses.fetch_add(1, Ordering::Relaxed) + 1;
                let reason = match asked {
                    Asked::Failed(reason) => reason,
                    _ if misses <= ENGINE_MISSES && before.engine.is_some() => return,
                    _ => format!("no answer within {:?}", self.deadline),
                };
                if before.engine.is_some() {
                    tracing::error!("the engine at {} is lost: {reason}", self.engine.address());
                }
                Identity {
                    engine: None,
                    ..(*before).clone()
                }
            }
        };
        now.changed = before.changed;
        if now == *before {
            return;
        }
        now.changed = change_time(before.changed);
        if before.engine.is_none() && now.engine.is_some() {
            tracing::info!("the engine at {} answers", self.engine.address());
        }
        if before.node_id != now.node_id {
            self.members.clear();
        }
        if before.node_id == now.node_id && before.manager != now.manager {
            let role = if now.manager { "manager" } else { "worker" };
            tracing::info!("this node is now a {role}");
        }
        self.label.store(Arc::new(label(&now)));
        self.me.store(Arc::new(now.clone()));
        self.members.own(&now, Moment::now());
        self.own_change.notify_one();
        changed(&now);
    }

    /// Asks the engine who this node is. An engine that does not say so in time, but
    /// answers a ping, is slow.
    async fn ask_engine(&self) -> Asked {
        let answers = AtomicBool::new(false);
        let ping = async {
            sleep(self.deadline / 2).await;
            let answered = Box::pin(identity::answers(&self.client, &self.engine)).await;
            answers.store(answered, Ordering::Relaxed);
            pending().await
        };
        let read = async {
            tokio::select! {
                read = Box::pin(identity::read(&self.client, &self.engine)) => read,
                never = ping => never,
            }
        };
        match self.lateness.within(self.deadline, read).await {
            Some(Ok(identity)) => Asked::Answered(Box::new(identity)),
            Some(Err(reason)) => Asked::Failed(reason),
            None if answers.load(Ordering::Relaxed) => Asked::Slow,
            None => Asked::Silent,
        }
    }

    fn set_engine_silent(&self, is_silent: bool) {
        self.engine_silent_since.send_if_modified(|since| {
            let changes = since.is_some() != is_silent;
            if changes {
                *since = is_silent.then(Instant::now);
            }
            changes
        });
    }
}

/// How this node's engine has reacted to the question who it is.
enum Asked {
    Answered(Box<Identity>),
    Failed(String),
    /// It answers a ping, and not this question in time.
    Slow,
    /// It answers nothing.
    Silent,
}

pub(super) fn label(me: &Identity) -> HeaderValue {
    HeaderValue::try_from(me.label()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The time of a change of what this agent says of its node: by the wall clock, because
/// it survives a restart, and always later than the one before.
pub(super) fn change_time(before: u64) -> u64 {
    let now = u64::try_from(clock::now().as_millis()).unwrap_or(u64::MAX);
    now.max(before.saturating_add(1))
}
