//! Decides how long a call waits for another agent, or for an engine, that does not
//! answer.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Cluster;
use super::hop::Hop;
use super::members::Member;
use super::rounds::{AWAY, SILENT};
use crate::platform::clock::Moment;

/// How long a call waits for the answer of an agent that does not answer probes.
pub(super) const MISSED: Duration = Duration::from_secs(3);

/// A call waits for a silent engine at least this long, even if the engine has
/// been silent for much longer.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// The age of the last round from which a missing node justifies a new one.
pub(super) const ROUND_AGE: Duration = Duration::from_secs(5);

/// The longest wait for a silent engine: a Portainer server waits for a minute.
const LONGEST: Duration = Duration::from_secs(20);

/// The time without a sign of life after which an agent is probed before it is called.
const STALE: Duration = Duration::from_secs(60);

impl Cluster {
    /// Records a failed call: the agent at this address gets no more requests
    /// until it answers a probe. The next round starts at once.
    pub(crate) fn failed(&self, address: SocketAddr, reason: &str) {
        self.members.failed(address, reason, Moment::now());
        self.wake.notify_one();
    }

    /// Records that an agent took too long for a call. Only probes decide whether it is
    /// given up: many calls at once say no more than one.
    pub(crate) fn was_late(&self, address: SocketAddr) {
        self.members.doubt(address);
        self.wake.notify_one();
    }

    /// Probes this member's agent in the next round.
    pub(crate) fn hurry(&self, member: &Member) {
        if let Some(address) = member.address {
            self.schedule.hurry(address);
        }
    }

    /// Another agent has probed this one. If its node did not answer, it may now.
    pub(crate) fn was_probed_by(&self, id: &str) {
        let is_back = self.members.get(id).is_some_and(|m| !m.is_ready());
        if is_back && self.last_round.load().elapsed() >= SILENT {
            self.wake.notify_one();
        }
    }

    /// Whether this member's agent did not answer its last probe in time.
    pub(crate) fn is_doubtful(&self, member: &Member) -> bool {
        let address = member.address;
        address.is_none_or(|address| self.members.is_doubtful(address))
    }

    /// Probes the agent of a call that it has not answered for long: its clock may have
    /// been set, or it may be gone, and then the call need not find out.
    pub(crate) async fn freshen(&self, hop: &Hop) {
        let Hop::Agent(member) = hop else { return };
        let last = self.members.last_contact(&member.id);
        let is_fresh = member.is_met && last.is_some_and(|at| at.elapsed() < STALE);
        if let Some(address) = member.address.filter(|_| !is_fresh) {
            let answered = Box::pin(self.probe.check(address)).await;
            self.schedule.probed(address, answered, Instant::now());
        }
    }

    /// Resolves when this member's agent did not answer its last probe in time.
    pub(crate) async fn doubtful(&self, member: &Member) {
        let _in_use = self.uses.begin(&member.id);
        let mut changes = self.members.changes();
        drop(changes.wait_for(|()| self.is_doubtful(member)).await);
    }

    /// Resolves when this member's agent has not answered probes for a while.
    pub(crate) async fn lost(&self, member: &Member) {
        let _in_use = self.uses.begin(&member.id);
        let answers = || member.address.is_some_and(|a| self.members.answers(a));
        let mut changes = self.members.changes();
        let silent = async {
            loop {
                drop(changes.wait_for(|()| !answers()).await);
                let back = changes.wait_for(|()| answers());
                if timeout(MISSED, back).await.is_err() {
                    return;
                }
            }
        };
        // A call that waits asks for a probe, which finds out sooner.
        let ask = async {
            sleep(SHORTEST).await;
            if self.last_round.load().elapsed() >= AWAY {
                self.wake.notify_one();
            }
            pending::<()>().await;
        };
        tokio::select! {
            () = silent => {}
            () = ask => {}
        }
    }

    /// Resolves when the engine behind this hop has been silent for too long,
    /// whether its agent answers or not; almost at once if it has been already.
    /// An engine that was too busy to answer one probe gets the time of another.
    pub(crate) async fn engine_unresponsive(&self, hop: &Hop) {
        let probe = self.interval.saturating_add(self.deadline);
        let patience = LONGEST.min(MISSED.saturating_add(probe));
        let began = Instant::now();
        let mut ours = self.engine_silent_since.subscribe();
        let mut theirs = self.members.changes();
        let mut again = began + ROUND_AGE;
        loop {
            let given_up = async {
                match self.silence(hop) {
                    Silence::None => pending().await,
                    Silence::Since(then) => {
                        sleep_until((then + patience).max(began + SHORTEST)).await
                    }
                    Silence::UnknownNode => sleep_until(began + SHORTEST).await,
                }
            };
            tokio::select! {
                () = given_up => return,
                _ = ours.changed() => {}
                _ = theirs.changed() => {}
                () = sleep_until(again) => {
                    self.request_round();
                    again = Instant::now() + SHORTEST;
                }
            }
        }
    }

    /// Starts a round now, because a request misses a node; unless the last
    /// round ended only just before.
    pub fn request_round(&self) {
        if self.last_round.load().elapsed() >= ROUND_AGE {
            self.wake.notify_one();
        }
    }

    fn silence(&self, hop: &Hop) -> Silence {
        match hop {
            Hop::Engine => self
                .engine_silent_since
                .borrow()
                .map_or(Silence::None, Silence::Since),
            Hop::Agent(member) => match self.members.get(&member.id) {
                Some(member) if member.is_ready() => Silence::None,
                Some(member) => Silence::Since(member.entered),
                None => Silence::UnknownNode,
            },
        }
    }
}

/// How long an engine has been silent.
enum Silence {
    /// It answers.
    None,
    /// It has not answered since this instant.
    Since(Instant),
    /// Its node is not in the table.
    UnknownNode,
}
