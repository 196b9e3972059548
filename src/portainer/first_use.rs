//! Implements trust on first use: the first Portainer server with a valid
//! signature is trusted, on every node and after every restart.
//!
//! Runs only if it is switched on (`first_use: true`). A key is pinned after its
//! signature was checked and every other agent answered that it has none, and
//! only if the key could be written to disk.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use skep_filters::auth::portainer::{PortainerError, PublicKey};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::others::Others;
use super::pin::{Pin, PinError, PinFile};
use crate::platform::clock;

/// How many times less often an agent with a key asks the others than one
/// without.
const SELDOM: u32 = 6;

/// The pinned key.
pub(crate) struct FirstUse {
    pin: ArcSwapOption<Pin>,
    file: PinFile,
    others: Others,
    /// Held while a server's key is decided on; later servers wait. Contains the
    /// time and the reason of the last refusal.
    deciding: Mutex<Option<(Instant, String)>>,
}

impl FirstUse {
    /// Reads the key that was pinned before, if there is one.
    ///
    /// # Errors
    /// If the file with that key cannot be read.
    pub(crate) fn open(state: &Path, others: Others) -> Result<Self, PinError> {
        let file = PinFile::of(state);
        let pin = file.read()?;
        match pin.as_ref().and_then(Pin::key) {
            Some(key) => tracing::info!("the Portainer server {} is trusted", key.fingerprint()),
            None => tracing::warn!(
                "auth.portainer.first_use: the first Portainer server to connect will be trusted"
            ),
        }
        Ok(Self {
            pin: ArcSwapOption::new(pin.map(Arc::new)),
            file,
            others,
            deciding: Mutex::new(None),
        })
    }

    /// The trusted key, with its time.
    pub(crate) fn pin(&self) -> Option<Arc<Pin>> {
        self.pin.load_full()
    }

    pub(crate) fn trusted(&self) -> Option<PublicKey> {
        self.pin.load().as_ref()?.key()
    }

    /// Pins this key, unless another one is trusted already; returns the trusted
    /// key. The caller has checked the signature.
    ///
    /// # Errors
    /// If another node may trust another key, or the key could not be written.
    pub(crate) async fn pin_server(&self, shown: &PublicKey) -> Result<PublicKey, PortainerError> {
        if let Some(trusted) = self.trusted() {
            return Ok(trusted);
        }
        let came = Instant::now();
        let mut refused = self.deciding.lock().await;
        if let Some(trusted) = self.trusted() {
            return Ok(trusted);
        }
        // One round of questions answers all servers that waited for it.
        if let Some((_, why)) = refused.as_ref().filter(|(said, _)| *said >= came) {
            return Err(PortainerError::NotYet(why.clone()));
        }
        let decided = match self.decide(shown).await {
            Ok(pin) => self.keep(pin).map_err(|why| {
                tracing::error!("no Portainer server can be trusted: {why}");
                "This node could not store the key; see its log".to_owned()
            }),
            Err(why) => Err(why),
        };
        *refused = decided.clone().err().map(|why| (Instant::now(), why));
        decided.map_err(PortainerError::NotYet)?;
        Ok(self.trusted().unwrap_or_else(|| shown.clone()))
    }

    /// The key to trust, or why that is not known yet.
    async fn decide(&self, shown: &PublicKey) -> Result<Pin, String> {
        if !self.others.cluster.probed_once() {
            let why = "This agent has just started and has not found the other agents yet";
            return Err(why.to_owned());
        }
        let found = self.others.ask().await;
        match found.oldest {
            Some(pin) => Ok(pin),
            None if found.silent.is_empty() => {
                let now = clock::now().as_millis();
                Ok(Pin::new(shown, now.try_into().unwrap_or(u64::MAX)))
            }
            None => Err(format!(
                "Another node may have a trusted key and does not answer: {}",
                found.silent.join(", ")
            )),
        }
    }

    /// Takes over another agent's key, until `stop` changes. If two agents pinned
    /// different keys at the same time, the older one wins.
    pub(crate) async fn sync_pin(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let pause = if self.pin().is_some() {
                self.others.interval * SELDOM
            } else {
                self.others.interval
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => return,
            }
            let Some(oldest) = self.others.ask().await.oldest else {
                continue;
            };
            let _one_at_a_time = self.deciding.lock().await;
            if self.pin().is_none_or(|ours| oldest < *ours)
                && let Err(why) = self.keep(oldest)
            {
                tracing::error!("cannot take over the key that another agent trusts: {why}");
            }
        }
    }

    /// Writes the key to disk, then trusts it.
    fn keep(&self, pin: Pin) -> Result<(), PinError> {
        let key = pin.key().ok_or_else(|| self.file.no_key())?;
        let path = self.file.path().display();
        self.file.write(&pin)?;
        if let Some(before) = self.trusted().filter(|before| *before != key) {
            tracing::warn!(
                "the Portainer server {} is no longer trusted",
                before.fingerprint()
            );
        }
        tracing::warn!(
            "the Portainer server {} is trusted from now on; to start anew, remove {path} on every node",
            key.fingerprint()
        );
        self.pin.store(Some(Arc::new(pin)));
        Ok(())
    }
}
