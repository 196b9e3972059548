//! Trust on first use: the first server that proves itself is the one that is
//! trusted, on every node and after every restart.
//!
//! Only there because somebody asked for it (`first_use: true`). A key is kept
//! after its signature was checked, after every other agent has said that it
//! knows none, and only if it could be written down.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use skep_filters::auth::portainer::{PortainerError, PublicKey};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::others::Others;
use super::pin::{Pin, PinFile};
use crate::platform::clock;

/// A key that is trusted is compared with the others' this much less often than
/// one is looked for.
const SELDOM: u32 = 6;

/// The one key.
pub(crate) struct FirstUse {
    pin: ArcSwapOption<Pin>,
    file: PinFile,
    others: Others,
    /// Who comes second waits for what becomes of the first. Holds when it was
    /// said that nobody can be trusted yet, and why.
    deciding: Mutex<Option<(Instant, String)>>,
}

impl FirstUse {
    /// With the key that was trusted before, if there is one.
    ///
    /// # Errors
    /// If the file with that key cannot be read.
    pub(crate) fn open(state: &Path, others: Others) -> Result<Self, String> {
        let file = PinFile::of(state);
        let pin = file.read()?;
        match pin.as_ref().and_then(Pin::key) {
            Some(key) => tracing::info!("the Portainer server {} is let in", key.fingerprint()),
            None => tracing::warn!(
                "auth.portainer.first_use: whoever calls first in Portainer's way is trusted from then on"
            ),
        }
        Ok(Self {
            pin: ArcSwapOption::new(pin.map(Arc::new)),
            file,
            others,
            deciding: Mutex::new(None),
        })
    }

    /// The key that is trusted, with its time.
    pub(crate) fn pin(&self) -> Option<Arc<Pin>> {
        self.pin.load_full()
    }

    /// The key that is trusted.
    pub(crate) fn trusted(&self) -> Option<PublicKey> {
        self.pin.load().as_ref()?.key()
    }

    /// The key that is trusted from now on, now that this one has proved itself.
    ///
    /// # Errors
    /// If it cannot be known yet whether another one is.
    pub(crate) async fn pin_server(&self, shown: &PublicKey) -> Result<PublicKey, PortainerError> {
        if let Some(trusted) = self.trusted() {
            return Ok(trusted);
        }
        let came = Instant::now();
        let mut refused = self.deciding.lock().await;
        if let Some(trusted) = self.trusted() {
            return Ok(trusted);
        }
        // It was said meanwhile: the others are asked once for all who wait.
        if let Some((_, why)) = refused.as_ref().filter(|(said, _)| *said >= came) {
            return Err(PortainerError::NotYet(why.clone()));
        }
        let decided = match self.decide(shown).await {
            Ok(pin) => self.keep(pin).map_err(|why| {
                tracing::error!("no Portainer server can be trusted: {why}");
                "The key could not be kept on this node; see its log".to_owned()
            }),
            Err(why) => Err(why),
        };
        *refused = decided.clone().err().map(|why| (Instant::now(), why));
        decided.map_err(PortainerError::NotYet)?;
        Ok(self.trusted().unwrap_or_else(|| shown.clone()))
    }

    /// The key to trust, or why that cannot be said yet.
    async fn decide(&self, shown: &PublicKey) -> Result<Pin, String> {
        if !self.others.cluster.probed_once() {
            let why = "This agent has just started and does not know the others yet";
            return Err(why.to_owned());
        }
        let heard = self.others.ask().await;
        match heard.oldest {
            Some(pin) => Ok(pin),
            None if heard.silent.is_empty() => {
                let now = clock::now().as_millis();
                Ok(Pin::new(shown, now.try_into().unwrap_or(u64::MAX)))
            }
            None => Err(format!(
                "Another node may know a trusted key and does not answer: {}",
                heard.silent.join(", ")
            )),
        }
    }

    /// Takes over what another agent trusts, and what it has trusted for longer
    /// if two servers came at once to two of them, until told to stop.
    pub(crate) async fn sync_pin(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let pause = match self.pin().is_some() {
                true => self.others.interval * SELDOM,
                false => self.others.interval,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => return,
            }
            let Some(told) = self.others.ask().await.oldest else {
                continue;
            };
            let _one_at_a_time = self.deciding.lock().await;
            if self.pin().is_none_or(|ours| told < *ours)
                && let Err(why) = self.keep(told)
            {
                tracing::error!("the key that another agent trusts is not taken over: {why}");
            }
        }
    }

    /// Writes it down, then trusts it.
    fn keep(&self, pin: Pin) -> Result<(), String> {
        let key = pin.key().ok_or("it is no P-256 key")?;
        let path = self.file.path().display();
        self.file.write(&pin).map_err(|e| format!("{path}: {e}"))?;
        if let Some(before) = self.trusted().filter(|before| *before != key) {
            tracing::warn!(
                "the Portainer server {} is not let in any more",
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
