//! Callers at an address without TLS: the configuration gives them an identity by
//! their address alone, or by the container that has it.
//!
//! Nobody proves anything there. A signature is refused, not ignored: its sender
//! believes that it counts, and everybody on the network could read it.

use http::{HeaderMap, StatusCode};
use skep_filters::auth::portainer::PortainerHeaders;
use skep_filters::auth::profile::{SIGNATURE, SIGNATURE_INPUT};
use skep_filters::auth::{BodyBinding, Client, Principal};

use crate::cluster::residents::{Resident, Unknown};
use crate::config::{CallerMark, ContainerCaller, Plain, SocketIdentity};
use crate::exchange::caller::Caller;
use crate::exchange::reject::{Reason, Reject};
use crate::listen::visitor::Host;

/// Labels that name the service of a container.
const SERVICES: [&str; 2] = [
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
];

impl From<Unknown> for Reject {
    fn from(error: Unknown) -> Self {
        Self::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::Engine, error)
    }
}

/// The caller of one request.
///
/// # Errors
/// If it signs, or no identity fits.
pub(crate) fn authenticate(
    host: &Host,
    plain: &[Plain],
    container: Option<&Resident>,
    headers: &HeaderMap,
) -> Result<Caller, Reject> {
    let signed = headers.contains_key(SIGNATURE) || headers.contains_key(SIGNATURE_INPUT);
    if signed || PortainerHeaders::any(headers) {
        return Err(Reject::refused(
            StatusCode::FORBIDDEN,
            Reason::SignedWithoutTls,
            "this listener has no TLS and accepts no signatures: everybody on the network could read \
             them; call the agent's HTTPS address",
        ));
    }
    let plain = plain.get(host.listener);
    let who = plain.and_then(|plain| who(plain, container));
    let who = who.ok_or_else(|| unknown(host, container))?;
    let client = Client::local(&who.name, headers)?;
    let body = BodyBinding::uncovered(headers)?;
    Ok(Caller::new(Principal::Client(client), body, true))
}

fn who<'a>(plain: &'a Plain, container: Option<&Resident>) -> Option<&'a SocketIdentity> {
    let known = container.and_then(|container| {
        let mut callers = plain.callers.iter();
        callers.find_map(|caller| identity(caller, container))
    });
    known.or(plain.others.as_ref())
}

/// The identity of a container, if it has the mark of the caller.
fn identity<'a>(caller: &'a ContainerCaller, container: &Resident) -> Option<&'a SocketIdentity> {
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let fits = match &caller.mark {
        CallerMark::Name(name) => container.name == *name,
        CallerMark::Service(name) => SERVICES.iter().any(|own| label(own) == Some(name)),
        CallerMark::Label(name, None) => label(name).is_some(),
        CallerMark::Label(name, Some(value)) => label(name) == Some(value),
        CallerMark::Policy(name) => {
            let policy = label(name)?;
            let mut identities = caller.identities.iter();
            let (_, identity) = identities.find(|(value, _)| value == policy)?;
            return Some(identity);
        }
    };
    let (_, identity) = caller.identities.first().filter(|_| fits)?;
    Some(identity)
}

fn unknown(host: &Host, container: Option<&Resident>) -> Reject {
    let who = match container {
        Some(container) => format!("the container {}", container.name),
        None => "no container of this node".to_owned(),
    };
    Reject::refused(
        StatusCode::FORBIDDEN,
        Reason::CallerUnknown,
        format!(
            "{} is the address of {who}: none of the listener's `callers` fits, and it has no `policy` \
             for others (`listen` in the agent's configuration)",
            host.from.ip()
        ),
    )
}
