//! `skep user`: the people who may call, and their invitations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use skep_filters::people::{Document, Invitation, Invited, Revocation, User};
use skep_filters::scalar::parse_duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::ClientArgs;
use super::people::{Operator, Seen, Users};
use super::table::aligned;
use crate::config::client_name;
use crate::platform::clock;
use crate::trust::{Serial, ed25519_public};

/// The commands for people.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, and print an invitation
    #[command(
        after_help = "Example:\n  skep user add alice --policy read-only --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Add(AddArgs),
    /// Print another invitation for a user
    #[command(
        after_help = "Example:\n  skep user invite alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Invite(InviteArgs),
    /// List users, and the identities of the configuration
    #[command(
        after_help = "Example:\n  skep user list --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    List(ClientArgs),
    /// Show one user with the certificates and invitations
    #[command(
        after_help = "Example:\n  skep user show alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Show(OneArgs),
    /// Refuse a user everywhere, and end what the user has open
    #[command(
        after_help = "Example:\n  skep user disable alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Disable(OneArgs),
    /// Let a disabled user in again
    #[command(
        after_help = "Example:\n  skep user enable alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Enable(OneArgs),
    /// Give a user another policy
    #[command(
        after_help = "Example:\n  skep user set alice --policy admin --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Set(SetArgs),
    /// Revoke the certificates of a user, or one certificate
    #[command(
        after_help = "Example:\n  skep user revoke alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Revoke(RevokeArgs),
    /// Remove a user
    #[command(
        after_help = "Example:\n  skep user remove alice --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Remove(OneArgs),
}

/// A new user.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Name of the user, in certificates and in the audit log
    #[arg(value_parser = client_name)]
    pub(crate) name: String,
    /// Name of the policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: String,
    /// Days for which each certificate is valid, 1 to 90
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=90))]
    pub(crate) days: u16,
    /// Network to call from; repeat it or separate them by commas
    #[arg(long = "network", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) networks: Vec<String>,
    /// File with an Ed25519 public key that signs requests under this name; then there
    /// is no invitation
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key_file: Option<PathBuf>,
    /// The invitation.
    #[command(flatten)]
    pub(crate) invitation: InvitationArgs,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How long an invitation is valid.
#[derive(Args, Debug)]
pub struct InvitationArgs {
    /// Time for which the invitation is valid, such as 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = valid)]
    pub(crate) valid: Duration,
}

/// A user to invite again.
#[derive(Args, Debug)]
pub struct InviteArgs {
    /// Name of the user
    pub(crate) name: String,
    /// The invitation.
    #[command(flatten)]
    pub(crate) invitation: InvitationArgs,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// One user.
#[derive(Args, Debug)]
pub struct OneArgs {
    /// Name of the user
    pub(crate) name: String,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A user and the policy.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Name of the user
    pub(crate) name: String,
    /// Name of the policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: String,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Certificates to revoke.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// Name of the user whose certificates are revoked, all that there are now
    #[arg(required_unless_present = "serial")]
    pub(crate) name: Option<String>,
    /// Serial number of one certificate, instead of a user
    #[arg(long, value_name = "DIGITS", conflicts_with = "name")]
    pub(crate) serial: Option<String>,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A used invitation, as an agent shows it.
#[derive(Deserialize)]
struct JoinedShown {
    user: String,
    serial: String,
    at: u64,
    expires: u64,
    from: String,
}

/// A time of at most 30 days.
fn valid(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|e| e.to_string())?;
    let range = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
    match range.contains(&time) {
        true => Ok(time),
        false => Err("an invitation is valid from 1m to 30 days (720h)".to_owned()),
    }
}

/// Returns the text to print.
///
/// # Errors
/// No agent answers, there is no such user, or the agent refuses.
pub async fn run(command: UserCommand) -> anyhow::Result<String> {
    match command {
        UserCommand::Add(args) => add(args).await,
        UserCommand::Invite(args) => {
            let (operator, before) = Operator::load(&args.client).await?;
            let mut after = before.clone();
            user(&mut after, &args.name)?;
            let invitation = invite(
                &operator,
                &args.client,
                &mut after,
                &args.name,
                &args.invitation,
            )?;
            let said = operator.store(&before, after).await?;
            Ok(said + &words(&operator, &args.name, &invitation, &args.invitation)?)
        }
        UserCommand::List(args) => list(&args).await,
        UserCommand::Show(args) => show(&args).await,
        UserCommand::Disable(args) => {
            change(&args.client, &args.name, |user| user.enabled = false).await
        }
        UserCommand::Enable(args) => {
            change(&args.client, &args.name, |user| user.enabled = true).await
        }
        UserCommand::Set(args) => {
            change(&args.client, &args.name, |user| {
                user.policy.clone_from(&args.policy)
            })
            .await
        }
        UserCommand::Revoke(args) => revoke(&args).await,
        UserCommand::Remove(args) => {
            let (operator, before) = Operator::load(&args.client).await?;
            let mut after = before.clone();
            user(&mut after, &args.name)?;
            after.users.retain(|user| user.name != args.name);
            after.invitations.retain(|one| one.user != args.name);
            operator.store(&before, after).await
        }
    }
}

async fn add(args: AddArgs) -> anyhow::Result<String> {
    let (operator, before) = Operator::load(&args.client).await?;
    if before.user(&args.name).is_some() {
        bail!(
            "there is a user {:?} already; `skep user invite {}` prints another invitation",
            args.name,
            args.name
        );
    }
    let public_key = args
        .public_key_file
        .as_deref()
        .map(public_key)
        .transpose()?;
    let is_invited = public_key.is_none();
    let mut after = before.clone();
    after.users.push(User {
        name: args.name.clone(),
        policy: args.policy,
        since: clock::now().as_secs(),
        enabled: true,
        networks: args.networks,
        public_key,
        days: args.days,
    });
    if !is_invited {
        return operator.store(&before, after).await;
    }
    let invitation = invite(
        &operator,
        &args.client,
        &mut after,
        &args.name,
        &args.invitation,
    )?;
    let said = operator.store(&before, after).await?;
    Ok(said + &words(&operator, &args.name, &invitation, &args.invitation)?)
}

fn public_key(path: &Path) -> anyhow::Result<String> {
    let at = || path.display().to_string();
    let pem = std::fs::read(path).with_context(at)?;
    Ok(HEXLOWER.encode(&ed25519_public(&pem).with_context(at)?))
}

/// Adds an invitation to the document.
fn invite(
    operator: &Operator,
    client: &ClientArgs,
    document: &mut Document,
    name: &str,
    args: &InvitationArgs,
) -> anyhow::Result<Invitation> {
    let mut secret = [0; 32];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.ok().context("the system gives no random number")?;
    let audience = operator.access.signer.audience();
    let audience = audience
        .context("the cluster to sign for is unknown")?
        .clone();
    let agents = client.to.iter().map(|url| {
        let text = url.to_string();
        text.trim_start_matches("https://").to_owned()
    });
    let invitation = Invitation::new(secret, audience, agents.collect());
    document.invitations.push(Invited {
        hash: invitation.hash(),
        user: name.to_owned(),
        expires: (clock::now() + args.valid).as_secs(),
    });
    Ok(invitation)
}

/// How to use an invitation.
fn words(
    operator: &Operator,
    name: &str,
    invitation: &Invitation,
    args: &InvitationArgs,
) -> anyhow::Result<String> {
    let until = moment((clock::now() + args.valid).as_secs());
    let mut text = format!(
        "\n{name} joins with this line, once and until {until}. Anyone who has it can use it: send it \
         privately\n\n  skep join {invitation}\n"
    );
    if let Some((ca, cluster)) = operator.access.authority.cluster() {
        text.push_str(&format!(
            "\nOr, without skep, with curl, openssl and docker:\n\n{}\n",
            shell(name, invitation, ca, cluster)
        ));
    }
    Ok(text)
}

/// The same for a shell. Its `echo` is no process, so nobody sees the secret in a list
/// of processes; curl trusts the CA in the line and no other.
fn shell(name: &str, invitation: &Invitation, ca: &[u8], cluster: &str) -> String {
    let agent = invitation.agents.first().map_or("", String::as_str);
    let (ca, secret) = (STANDARD.encode(ca), invitation.secret());
    let port = agent.rsplit_once(':').map_or("9001", |(_, port)| port);
    format!(
        "  (umask 077; mkdir {name}-skep && cd {name}-skep && echo {ca} | base64 -d | openssl x509 \
         -inform der -out ca.pem && openssl genpkey -algorithm EC -pkeyopt \
         ec_paramgen_curve:P-256 -out key.pem && {{ echo {secret}; openssl req -new -key key.pem \
         -subj /CN={name}; }} | curl -fsS --cacert ca.pem --connect-to {cluster}:{port}:{agent} \
         -H 'Content-Type: text/plain' --data-binary @- https://{cluster}:{port}/skep/v1/join -o \
         cert.pem && docker context create {name}-skep --docker \
         \"host=tcp://{agent},ca=ca.pem,cert=cert.pem,key=key.pem\")"
    )
}

async fn change(
    client: &ClientArgs,
    name: &str,
    change: impl FnOnce(&mut User),
) -> anyhow::Result<String> {
    let (operator, before) = Operator::load(client).await?;
    let mut after = before.clone();
    change(user(&mut after, name)?);
    if after == before {
        return Ok("nothing changes\n".to_owned());
    }
    operator.store(&before, after).await
}

async fn revoke(args: &RevokeArgs) -> anyhow::Result<String> {
    let (operator, before) = Operator::load(&args.client).await?;
    let mut after = before.clone();
    let now = clock::now().as_secs();
    if let Some(text) = &args.serial {
        let serial: Serial = text.parse()?;
        let serial = serial.to_string();
        if before.revoked.iter().any(|one| one.serial == serial) {
            return Ok("nothing changes\n".to_owned());
        }
        after.revoked.push(Revocation { serial, at: now });
    } else {
        let name = args.name.as_deref().unwrap_or_default();
        // Certificates have whole seconds: those of this second are meant too.
        let user = user(&mut after, name)?;
        user.since = (now + 1).max(user.since + 1);
        after.invitations.retain(|one| one.user != name);
    }
    operator.store(&before, after).await
}

async fn list(args: &ClientArgs) -> anyhow::Result<String> {
    let (operator, document) = Operator::load(args).await?;
    let (mut agents, silent) = operator.users().await?;
    let joined: Vec<JoinedShown> = operator.read("joined").await?;
    let seen = last_seen(&agents);
    let head = [
        "NAME",
        "POLICY",
        "STATE",
        "SOURCE",
        "CERTIFICATE UNTIL",
        "LAST SEEN",
        "FROM",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    // The lists are the same, the configurations may differ: the first one is shown.
    let all = match agents.is_empty() {
        true => bail!("no agent says who the users are"),
        false => agents.swap_remove(0),
    };
    let now = clock::now().as_secs();
    let none = || "-".to_owned();
    for one in all.users {
        let is_listed = one.source == "list";
        let last = joined
            .iter()
            .filter(|joined| is_listed && joined.user == one.name);
        let last = last.max_by_key(|joined| joined.at);
        let mut open = document.invitations.iter();
        let is_invited = open.any(|i| is_listed && i.user == one.name && i.expires > now);
        let state = match (one.hidden, one.enabled, last.is_none() && is_invited) {
            (true, ..) => "hidden by the configuration",
            (false, false, _) => "disabled",
            (false, true, true) => "invited",
            (false, true, false) => "enabled",
        };
        let seen = seen.get(&one.name).filter(|_| is_listed);
        rows.push([
            one.name,
            one.policy,
            state.to_owned(),
            one.source,
            last.map_or_else(none, |joined| moment(joined.expires)),
            seen.map_or_else(none, |seen| moment(seen.at)),
            seen.map_or_else(none, |seen| seen.from.clone()),
        ]);
    }
    let mut text = aligned(&rows);
    if !silent.is_empty() {
        text.push_str(&format!(
            "without what the agents of {} have seen, which did not answer\n",
            silent.join(", ")
        ));
    }
    Ok(text)
}

/// The last call of each user at any agent.
fn last_seen(agents: &[Users]) -> BTreeMap<String, Seen> {
    let mut last: BTreeMap<String, Seen> = BTreeMap::new();
    for one in agents.iter().flat_map(|agent| &agent.users) {
        let Some(seen) = &one.seen else {
            continue;
        };
        if last.get(&one.name).is_none_or(|other| other.at < seen.at) {
            last.insert(one.name.clone(), seen.clone());
        }
    }
    last
}

async fn show(args: &OneArgs) -> anyhow::Result<String> {
    let (operator, mut document) = Operator::load(&args.client).await?;
    let joined: Vec<JoinedShown> = operator.read("joined").await?;
    let user = user(&mut document, &args.name)?.clone();
    let enabled = if user.enabled { "yes" } else { "no" };
    let mut text = format!(
        "name:         {}\npolicy:       {}\nenabled:      {enabled}\ncertificates: valid if issued since {}, for {} days each\n",
        user.name,
        user.policy,
        moment(user.since),
        user.days
    );
    if !user.networks.is_empty() {
        text.push_str(&format!("networks:     {}\n", user.networks.join(", ")));
    }
    if let Some(key) = &user.public_key {
        text.push_str(&format!("public key:   {key}\n"));
    }
    for one in joined.iter().filter(|one| one.user == user.name) {
        text.push_str(&format!(
            "joined:       {} from {}, certificate {} until {}\n",
            moment(one.at),
            one.from,
            one.serial,
            moment(one.expires)
        ));
    }
    for one in document
        .invitations
        .iter()
        .filter(|one| one.user == user.name)
    {
        text.push_str(&format!("invitation:   until {}\n", moment(one.expires)));
    }
    Ok(text)
}

fn user<'d>(document: &'d mut Document, name: &str) -> anyhow::Result<&'d mut User> {
    let names: Vec<_> = document
        .users
        .iter()
        .map(|user| user.name.clone())
        .collect();
    let found = document.users.iter_mut().find(|user| user.name == name);
    found.with_context(|| match names.as_slice() {
        [] => format!("there is no user {name:?}; `skep user add {name}` adds one"),
        names => format!(
            "there is no user {name:?}; the users are {}",
            names.join(", ")
        ),
    })
}

/// A time for people.
pub(super) fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}

#[cfg(test)]
mod tests {
    use skep_filters::auth::Audience;

    use super::*;

    #[test]
    fn an_invitation_is_valid_for_a_minute_at_least_and_a_month_at_most() {
        for (text, expected) in [
            ("24h", true),
            ("720h", true),
            ("59s", false),
            ("721h", false),
            ("x", false),
        ] {
            assert_eq!(valid(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_line_for_a_shell_verifies_the_agent_and_keeps_the_secret_out_of_arguments() {
        let agents = vec!["10.0.0.1:9002".to_owned()];
        let audience = Audience::of_public_key(b"ca");
        let invitation = Invitation::new([7; 32], audience, agents);
        let line = shell("alice", &invitation, b"der", "0a.skep.internal");
        let curl = line.split("curl").nth(1).unwrap();
        assert!(!curl.contains(&invitation.secret()), "{line}");
        assert!(
            curl.contains("--cacert ca.pem") && !line.contains("-k ") && !line.contains("insecure")
        );
        assert!(
            curl.contains("--connect-to 0a.skep.internal:9002:10.0.0.1:9002"),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn an_unknown_user_is_named_with_the_known_ones() {
        let mut document = Document::default();
        let none = user(&mut document, "bob").unwrap_err().to_string();
        assert!(none.contains("skep user add bob"), "{none}");
        document.users.push(User {
            name: "alice".to_owned(),
            policy: "admin".to_owned(),
            since: 0,
            enabled: true,
            networks: Vec::new(),
            public_key: None,
            days: 90,
        });
        let other = user(&mut document, "bob").unwrap_err().to_string();
        assert!(other.contains("the users are alice"), "{other}");
        assert!(user(&mut document, "alice").is_ok());
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
    }
}
