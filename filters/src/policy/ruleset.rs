//! Checks a policy once, and judges requests by it.

mod root;

use std::collections::BTreeMap;

use super::body::{self, Check};
use super::effect::Effect;
use super::effective_api::EffectiveApi;
use super::error::PolicyError;
use super::guard::{self, Guarded, Guarding};
use super::may::May;
use super::must::Must;
use super::node::NodeCondition;
use super::presets;
use super::redact::{Redact, sounds_secret};
use super::request::{BodyOf, Request};
use super::scope::Scope;
use super::selector::Selector;
use super::spec::{RuleSpec, Spec};
use super::stored_specs::StoredSpecs;
use super::verdict::{Reason, Verdict};
use crate::endpoint::filters::Filters;
use crate::endpoint::{HeadCheck, Kind, Match, query};
use crate::json::quoted;

/// Most entries of a policy: each request may be matched against all of them.
const MAX_ENTRIES: usize = 1000;

/// A policy that has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSet {
    unrestricted: bool,
    audit_only: bool,
    rules: Vec<Rule>,
    may: May,
    must: Must,
    scope: Option<Scope>,
    redact: Vec<Redact>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    effect: Effect,
    selectors: Vec<Selector>,
    node: NodeCondition,
}

impl RuleSet {
    /// Allows everything, endpoints that the table does not know included.
    pub fn admin() -> Self {
        Self {
            unrestricted: true,
            audit_only: false,
            rules: Vec::new(),
            may: May::everything(),
            must: Must::default(),
            scope: None,
            redact: Vec::new(),
        }
    }

    /// Checks a policy.
    ///
    /// # Errors
    /// All its faults, each with its place.
    pub fn new(spec: &Spec) -> Result<Self, Vec<PolicyError>> {
        let mut faults = Vec::new();
        let preset = spec.preset.as_ref().and_then(|name| {
            let preset = presets::preset(name);
            if preset.is_none() {
                let known = presets::names().collect::<Vec<_>>().join(", ");
                let what = format!("unknown preset `{name}`: use one of {known}");
                faults.push(PolicyError::new("preset", what));
            }
            preset
        });
        let preset = preset.unwrap_or_default();

        let mut rules = rules(spec, "", &mut faults);
        rules.extend(rules_of_preset(&preset, &mut faults));
        let entries: usize = rules.iter().map(|rule| rule.selectors.len()).sum();
        if entries > MAX_ENTRIES {
            let what = format!("a policy has at most {MAX_ENTRIES} entries");
            faults.push(PolicyError::new("rules", what));
        }
        let may = spec.may.clone().or(preset.may).unwrap_or_default();
        let must = spec.must.clone().or(preset.must).unwrap_or_default();
        may.check(&mut faults);
        must.check(&mut faults);
        let labels = or_else(&spec.labels, preset.labels, BTreeMap::is_empty);
        if labels.keys().any(|key| key.is_empty() || key.contains('=')) {
            faults.push(PolicyError::new(
                "labels",
                "a label needs a name without `=`",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            unrestricted: false,
            audit_only: spec.audit_only,
            rules,
            may,
            must,
            scope: Scope::new(labels),
            redact: or_else(&spec.redact, preset.redact, Vec::is_empty),
        })
    }

    /// The objects that the caller sees; `None` is all.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The same rules, which also hide the secret that agents have in their environment.
    #[must_use]
    pub fn hiding_agents_secret(mut self) -> Self {
        if !self.unrestricted {
            self.redact.push(Redact::Agents);
        }
        self
    }

    /// The kinds of values to remove from answers.
    pub fn redact(&self) -> &[Redact] {
        &self.redact
    }

    /// Whether a service may use the host's network.
    pub fn grants_host_network(&self) -> bool {
        let namespaces = &self.may.namespaces;
        self.may.everything
            || namespaces
                .iter()
                .any(|name| name == "network" || name == "*")
    }

    /// Whether the Swarm's ingress network may be removed.
    pub fn grants_ingress(&self) -> bool {
        self.unrestricted || self.may.everything || self.may.ingress
    }

    /// Whether a service may use this Swarm secret or config; other kinds of
    /// objects need no grant.
    pub fn grants_use(&self, kind: Kind, name: &str) -> bool {
        let list = match kind {
            Kind::Secret => &self.may.secrets,
            Kind::Config => &self.may.configs,
            Kind::Container
            | Kind::Exec
            | Kind::Volume
            | Kind::Network
            | Kind::Service
            | Kind::Task => return true,
        };
        self.may.everything || body::listed(list, name)
    }

    /// Whether denials are only logged.
    pub fn audit_only(&self) -> bool {
        self.audit_only
    }

    /// Whether a verdict depends on the node.
    pub fn depends_on_node(&self) -> bool {
        self.rules.iter().any(|rule| !rule.node.is_empty())
    }

    /// Judges the head of a request.
    pub fn judge(&self, request: &Request<'_>) -> Verdict<'_> {
        if self.unrestricted {
            return Verdict::Allow { rule: "admin" };
        }
        let Some(found) = request.found else {
            return deny("default", Reason::UnknownEndpoint);
        };
        let Some((effect, rule)) = self.first(request, found) else {
            return deny("default", Reason::NotAllowed);
        };
        if effect == Effect::Deny {
            return deny(rule, Reason::Denied);
        }
        let head = upgrade(found, request.upgrade)
            .and_then(|()| body::head(&self.check(EffectiveApi::NEWEST), found, request.query))
            .and_then(|()| self.hides_environment(found, request.query))
            .and_then(|()| self.hides_labels(request.query))
            .and_then(|()| Ok(found.endpoint.parameters.check(request.query)?));
        match head {
            Ok(()) => Verdict::Allow { rule },
            Err(denied) => deny(denied.rule, denied.reason),
        }
    }

    /// Whether a rule allows the head, without a look at its parameters.
    pub(super) fn allows(&self, request: &Request<'_>, found: &Match) -> bool {
        let first = || self.first(request, found);
        self.unrestricted || first().is_some_and(|(effect, _)| effect == Effect::Allow)
    }

    /// Whether bodies are judged by more than their endpoint.
    pub(super) fn limits_bodies(&self) -> bool {
        let indifferent = self.unrestricted || self.may.everything && self.must.is_empty();
        !indifferent
    }

    /// Whether [`Self::judge_body`] has to judge the body before any of it is
    /// forwarded.
    pub fn inspects(&self, found: &Match) -> bool {
        self.limits_bodies() && body::inspector(found.endpoint.body_check()).is_some()
    }

    /// Judges the body of a request whose head was allowed. A body that needs no
    /// judgement ([`Self::inspects`]) is allowed. `api` says which fields its
    /// engine honours.
    pub fn judge_body(&self, found: &Match, body: &BodyOf<'_>, api: EffectiveApi) -> Verdict<'_> {
        let rule = "body";
        let inspector = body::inspector(found.endpoint.body_check());
        let Some(inspect) = inspector.filter(|_| self.inspects(found)) else {
            return Verdict::Allow { rule };
        };
        let judged = body
            .read()
            .map_err(Into::into)
            .and_then(|json| inspect(&self.check(api), json));
        match judged {
            Ok(()) => Verdict::Allow { rule },
            Err(denied) => deny(denied.rule, denied.reason),
        }
    }

    /// Whether [`Self::judge_recreation`] has to judge the container of the request.
    pub fn keeps_recreatable(&self, found: &Match) -> bool {
        !self.unrestricted
            && self.must.recreatable
            && found.endpoint.head == HeadCheck::EndsContainer
    }

    /// Judges a container, from the answer to its inspect, as if it were to be created
    /// again as it is.
    pub fn judge_recreation(
        &self,
        inspect: &[u8],
        api: EffectiveApi,
        guarded: &Guarded,
    ) -> Verdict<'_> {
        let read = BodyOf::json(inspect);
        let judged = read.read().map_err(Into::into).and_then(|json| {
            body::container::again(&self.check(api), json)?;
            guard::again(guarded, json)
        });
        match judged {
            Ok(Guarding::Denied(reason)) => deny("guard", Reason::Asks(reason)),
            Ok(Guarding::Clear | Guarding::Inspect(..) | Guarding::NoSuch(..)) => {
                Verdict::Allow { rule: "must" }
            }
            Err(denied) => deny(denied.rule, denied.reason),
        }
    }

    /// Whether [`Self::judge_guarded`] has to see the body before any of it is
    /// forwarded.
    pub fn guards(&self, found: &Match) -> bool {
        !self.unrestricted && guard::reads(found)
    }

    /// Whether a request acts on something that could belong to an agent: it is
    /// refused while the agent does not know its own objects.
    pub fn acts_on_objects(&self, found: &Match) -> bool {
        !self.unrestricted && guard::acts(found)
    }

    /// Judges a request by the objects that belong to agents. `admin` may do
    /// everything; a policy with `may.everything` may not.
    pub fn judge_guarded(
        &self,
        guarded: &Guarded,
        found: &Match,
        query: &str,
        body: &BodyOf<'_>,
    ) -> Guarding {
        if self.unrestricted {
            return Guarding::Clear;
        }
        guard::judge(guarded, found, query, body)
    }

    /// The specifications of a service that an update can bring back, and that are
    /// to be judged like its body.
    pub fn stored_specs(&self, found: &Match, query: &str, body: &BodyOf<'_>) -> StoredSpecs {
        if self.unrestricted || found.endpoint.head != HeadCheck::Rollback {
            return StoredSpecs::default();
        }
        StoredSpecs::of(query, body)
    }

    /// Whether the caller is an admin, whom nothing limits.
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// `ps axe` shows the environment of every process.
    fn hides_environment(&self, found: &Match, query: &str) -> super::verdict::Judged {
        let plain = |arguments: &str| ["", "-ef", "aux", "-aux", "-o pid,cmd"].contains(&arguments);
        let hides = |kind| self.redact.contains(&kind);
        let top = found.endpoint.head == HeadCheck::PsArguments
            && (hides(Redact::Env) || hides(Redact::Agents));
        let mut arguments = query::all(query, "ps_args");
        if !top || arguments.all(|arguments| plain(&arguments)) {
            return Ok(());
        }
        let what = "these ps arguments may show environment variables: use aux or -ef".into();
        Err(super::verdict::Denied::asks("redact", what))
    }

    /// A list that is filtered by a redacted label says whether its value is the one
    /// of the filter.
    fn hides_labels(&self, query: &str) -> super::verdict::Judged {
        if !self.redact.contains(&Redact::Secrets) {
            return Ok(());
        }
        for filters in query::all(query, "filters") {
            let refused = |what: &str| Err(super::verdict::Denied::asks("redact", what.into()));
            let Ok(filters) = Filters::parse(&filters) else {
                return refused("the filters cannot be read, so they may ask for a redacted label");
            };
            let mut names = filters.names().filter(|name| name.contains("label"));
            let is_redacted = |label: &str| {
                let (name, value) = label.split_once('=').unwrap_or((label, ""));
                // skep itself narrows lists by the labels of the scope.
                let own = self.scope().and_then(|scope| scope.labels().get(name));
                sounds_secret(name) && own.is_none_or(|own| own != value)
            };
            if names.any(|name| filters.values(name).any(is_redacted)) {
                return refused("a filter would show the value of a redacted label");
            }
        }
        Ok(())
    }

    fn check(&self, api: EffectiveApi) -> Check<'_> {
        Check {
            api,
            may: &self.may,
            must: &self.must,
        }
    }

    fn first(&self, request: &Request<'_>, found: &Match) -> Option<(Effect, &str)> {
        self.rules.iter().find_map(|rule| {
            if !rule.node.holds(request.on, rule.effect) {
                return None;
            }
            let mut selectors = rule.selectors.iter();
            let selector = selectors.find(|selector| selector.matches(request, found))?;
            Some((rule.effect, selector.label.as_str()))
        })
    }
}

fn deny(rule: &str, reason: Reason) -> Verdict<'_> {
    Verdict::Deny { rule, reason }
}

fn or_else<T: Clone>(own: &T, preset: T, is_empty: impl Fn(&T) -> bool) -> T {
    if is_empty(own) { preset } else { own.clone() }
}

fn rules_of_preset(preset: &Spec, faults: &mut Vec<PolicyError>) -> Vec<Rule> {
    rules(preset, "preset ", faults)
}

/// A policy's rules in the order in which a request is matched against them.
fn rules(spec: &Spec, from: &str, faults: &mut Vec<PolicyError>) -> Vec<Rule> {
    let everywhere = NodeCondition::default();
    let mut rules = vec![rule(
        Effect::Deny,
        &spec.deny,
        &everywhere,
        from,
        "",
        faults,
    )];
    for (i, spec) in spec.rules.iter().enumerate() {
        let RuleSpec { allow, deny, node } = spec;
        let at = format!("rules[{i}]");
        match (allow.is_empty(), deny.is_empty()) {
            (false, true) => rules.push(rule(Effect::Allow, allow, node, from, &at, faults)),
            (true, false) => rules.push(rule(Effect::Deny, deny, node, from, &at, faults)),
            _ => faults.push(PolicyError::new(at, "a rule has either `allow` or `deny`")),
        }
    }
    rules.push(rule(
        Effect::Allow,
        &spec.allow,
        &everywhere,
        from,
        "",
        faults,
    ));
    rules.retain(|rule| !rule.selectors.is_empty());
    rules
}

fn rule(
    effect: Effect,
    entries: &[String],
    node: &NodeCondition,
    from: &str,
    at: &str,
    faults: &mut Vec<PolicyError>,
) -> Rule {
    let verb = effect.as_str();
    let (space, dot) = if at.is_empty() { ("", "") } else { (" ", ".") };
    let mut selectors = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        match Selector::parse(entry, format!("{from}{at}{space}{verb} {entry}")) {
            Ok(selector) => selectors.push(selector),
            Err(what) => faults.push(PolicyError::new(format!("{at}{dot}{verb}[{i}]"), what)),
        }
    }
    Rule {
        effect,
        selectors,
        node: node.clone(),
    }
}

/// Denies an upgrade that the endpoint does not have. Engines since 29 speak
/// HTTP/2 on the same port, and requests within that connection are not judged.
fn upgrade(found: &Match, header: Option<&str>) -> super::verdict::Judged {
    let Some(asked) = header else { return Ok(()) };
    let expected = found.endpoint.wire.upgrade().unwrap_or_default();
    if asked.trim().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let asked = quoted(asked);
    let what = format!("this endpoint does not upgrade to {asked}");
    Err(super::verdict::Denied::asks("upgrade", what))
}
