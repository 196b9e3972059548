//! Finds the container that a task of a service runs in, by the names that people
//! know: a service, a slot (`web.1`), or a task's id. A container of that name
//! comes first.
//!
//! Only calls that look into a container or run something in it take such names:
//! `rm web` must not remove a task because there is no container `web`.

use http::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::json;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ObjectIn, ObjectKind, TaskUse, query};

use crate::cluster::ask::{ApiVersionChoice, Ask, Timeout, ask_node, at};
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::internal;
use crate::exchange::reject::{Reason, Reject};
use crate::route::Destination;
use crate::route::locate::{Found, Object, locate, named, object_path};
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one answer of a manager, in bytes.
const ANSWER: usize = 8 << 20;

/// The shortest beginning of an id that counts: a shorter one could be meant as a
/// name. Docker prints twelve characters.
const PREFIX: usize = 8;

/// The most tasks in a message.
const SHOWN: usize = 16;

/// The meaning of the name in a request about a container.
pub(crate) enum Meaning {
    /// A container of this name is on this node.
    Container(Hop),
    /// The container of a task.
    Task(TaskContainer),
}

/// The container of a task.
pub(crate) struct TaskContainer {
    pub(crate) id: String,
    pub(crate) hop: Hop,
    /// The request's target with the id in place of the name.
    pub(crate) target: Uri,
}

/// Finds the meaning of the name; `None` if the request goes on as it is.
///
/// # Errors
/// If several running tasks have the name, or the node of the task cannot be asked.
pub(crate) async fn meaning(
    context: &Context,
    x: &Judged<'_>,
    method: &Method,
    asked: &Call<'_>,
    to: &Destination,
) -> Result<Option<Meaning>, Reject> {
    let Destination::Owner(ObjectKind::Container) = to else {
        return Ok(None);
    };
    let Some(found) = asked.found else {
        return Ok(None);
    };
    let Some(used) = found.endpoint.task else {
        return Ok(None);
    };
    let name = named(found, asked.query, None).filter(|name| may_name_a_task(name));
    let (Some(ObjectIn::Path), Some(name)) = (found.endpoint.object, name) else {
        return Ok(None);
    };
    let search = Search {
        context,
        x,
        asked,
        used,
        name: &name,
    };
    if let Some(hop) = search.container(method).await? {
        return Ok(hop.map(Meaning::Container));
    }
    Ok(search.task().await?.map(Meaning::Task))
}

/// Names of services and ids of tasks have no other characters; ids of containers
/// are longer than those of tasks.
fn may_name_a_task(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    !is_id && name.len() <= 128 && name.bytes().all(plain)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID", default)]
    service: String,
    #[serde(default)]
    slot: u64,
    #[serde(rename = "NodeID", default)]
    node: String,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    state: String,
    container_status: Option<ContainerStatus>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    id: String,
}

impl Task {
    fn container(&self) -> Option<&str> {
        let status = self.status.container_status.as_ref()?;
        let is_id = status.id.len() == 64 && status.id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then_some(&*status.id)
    }

    fn runs(&self) -> bool {
        self.status.state == "running" && self.container().is_some()
    }

    /// Whether the part of a name after the service's means this task: its slot, for
    /// a global service its node, and perhaps its id.
    fn is_at(&self, place: &str) -> bool {
        let (place, id) = place.split_once('.').unwrap_or((place, ""));
        let at = match self.slot {
            0 => place.len() >= PREFIX && self.node.starts_with(place),
            slot => slot.to_string() == place,
        };
        at && (id.is_empty() || id.len() >= PREFIX && self.id.starts_with(id))
    }

    /// The part of its name after the service's.
    fn place(&self) -> String {
        match self.slot {
            0 => self.node.clone(),
            slot => slot.to_string(),
        }
    }
}

struct Search<'a, 'x> {
    context: &'a Context,
    x: &'a Judged<'x>,
    asked: &'a Call<'a>,
    used: TaskUse,
    name: &'a str,
}

impl Search<'_, '_> {
    /// The node of the container of this name, `Some(None)` if the request goes on as
    /// it is, and `None` if no node that answered has one.
    async fn container(&self, method: &Method) -> Result<Option<Option<Hop>>, Reject> {
        let object = Object {
            class: ObjectKind::Container,
            name: self.name,
            method,
            query: "",
            version: self.asked.path.version(),
            reachable: self.x.reachable(),
            request_id: self.x.id().as_header(),
        };
        match locate(self.context, &object).await {
            Ok(Found::At(hop)) => {
                // A lookup does not ask the only node.
                let is_alone = self.context.cluster.others().is_empty();
                if is_alone && self.get(&hop, &object_path(&object), "").await?.is_none() {
                    return Ok(None);
                }
                // The inspections for a limited caller choose the node themselves.
                let free = !self.x.permission.called.is_limited() && self.x.scope().is_none();
                Ok(Some(Some(hop).filter(|_| free)))
            }
            // A manager knows of tasks on nodes that do not answer.
            Ok(Found::Nowhere) | Err(Reject::NotFound { .. }) => Ok(None),
            // Found out again, and refused, where the request is forwarded.
            Ok(Found::Manager | Found::Everyone(_)) | Err(_) => Ok(Some(None)),
        }
    }

    async fn task(&self) -> Result<Option<TaskContainer>, Reject> {
        let manager = match self.context.cluster.me().can_manage() {
            true => Hop::Engine,
            false => match self.context.manager() {
                Ok(manager) => manager,
                Err(_) => return Ok(None),
            },
        };
        match self.name.split_once('.') {
            Some((service, place)) => {
                let Some(service) = self.service(&manager, service).await? else {
                    return Ok(None);
                };
                let mut tasks = self.tasks_of(&manager, &service).await?;
                tasks.retain(|task| task.is_at(place));
                self.choose(&service.spec.name, tasks)
            }
            None => {
                let task = self.task_by_id(&manager).await?;
                let is_whole = task.as_ref().is_some_and(|task| task.id == self.name);
                if !is_whole && let Some(service) = self.service(&manager, self.name).await? {
                    let tasks = self.tasks_of(&manager, &service).await?;
                    return self.of_service(&service, tasks);
                }
                task.map_or(Ok(None), |task| self.at(&task))
            }
        }
    }

    /// A task of the service itself, without a slot.
    fn of_service(
        &self,
        service: &Service,
        mut tasks: Vec<Task>,
    ) -> Result<Option<TaskContainer>, Reject> {
        tasks.retain(Task::runs);
        match self.used {
            TaskUse::Control => Ok(None),
            // `docker inspect SERVICE` goes on to the service after a 404, and
            // `docker exec SERVICE` prints it.
            TaskUse::Look if tasks.is_empty() || self.x.scope().is_some() => Ok(None),
            TaskUse::Look => Err(Reject::refused(
                StatusCode::NOT_FOUND,
                Reason::NotFound,
                format!(
                    "No such container: {}. It is a service; name one of its tasks: {}",
                    self.name,
                    self.shown(&service.spec.name, &tasks)
                ),
            )),
            TaskUse::Read | TaskUse::Run => self.choose(&service.spec.name, tasks),
            TaskUse::Connect => self.any(tasks),
        }
    }

    /// The running one of these tasks; to read, the newest one.
    fn choose(&self, service: &str, mut tasks: Vec<Task>) -> Result<Option<TaskContainer>, Reject> {
        tasks.retain(|task| task.container().is_some());
        tasks.sort_by(|a, b| b.created_at.cmp(&a.created_at));
        let running: Vec<Task> = tasks.iter().filter(|task| task.runs()).cloned().collect();
        match (&running[..], tasks.first()) {
            ([one], _) => self.at(one),
            ([], Some(newest)) if matches!(self.used, TaskUse::Look | TaskUse::Read) => {
                self.at(newest)
            }
            ([], _) => Ok(None),
            (_, _) if self.used == TaskUse::Connect => self.any(running),
            // The tasks may be out of the caller's scope.
            (_, _) if self.x.scope().is_some() => Ok(None),
            (several, _) => Err(Reject::refused(
                StatusCode::CONFLICT,
                Reason::SeveralNodes,
                format!(
                    "{:?} names several running tasks: {}; name one",
                    self.name,
                    self.shown(service, several)
                ),
            )),
        }
    }

    /// One of these running tasks: on this node if there is one, else that of the first
    /// slot on a node that answers.
    fn any(&self, mut tasks: Vec<Task>) -> Result<Option<TaskContainer>, Reject> {
        let me = self.context.cluster.me();
        let others = self.context.cluster.others();
        let answers = |task: &Task| {
            let mut others = others.iter();
            task.node == me.node_id || others.any(|node| node.id == task.node && node.is_ready())
        };
        tasks.retain(|task| self.x.reachable().has(&task.node));
        tasks.sort_by_key(|task| {
            let away = !answers(task);
            (away, task.node != me.node_id, task.slot, task.id.clone())
        });
        tasks.first().map_or(Ok(None), |task| self.at(task))
    }

    fn shown(&self, service: &str, tasks: &[Task]) -> String {
        let mut tasks: Vec<_> = tasks.iter().collect();
        tasks.sort_by(|a, b| (a.slot, &a.node, &a.id).cmp(&(b.slot, &b.node, &b.id)));
        let rest = tasks.len().saturating_sub(SHOWN);
        let shown = tasks.iter().take(SHOWN).map(|task| {
            let hostname = self.hostname(&task.node);
            format!("{service}.{}.{} on {hostname}", task.place(), task.id)
        });
        let mut shown = shown.collect::<Vec<_>>().join(", ");
        if rest > 0 {
            shown += &format!(" and {rest} more");
        }
        shown
    }

    fn hostname(&self, node: &str) -> String {
        let all = self.context.cluster.all();
        let member = all.iter().find(|member| member.id == node);
        member.map_or_else(|| node.to_owned(), |member| member.name().to_owned())
    }

    /// The container of this task, if the caller may reach its node.
    fn at(&self, task: &Task) -> Result<Option<TaskContainer>, Reject> {
        let Some(id) = task.container() else {
            return Ok(None);
        };
        if !self.x.reachable().has(&task.node) {
            return Ok(None);
        }
        let hop = if task.node == self.context.cluster.me().node_id {
            Hop::Engine
        } else {
            let others = self.context.cluster.others();
            match others.into_iter().find(|member| member.id == task.node) {
                Some(member) if member.is_ready() => Hop::Agent(member),
                Some(member) => {
                    return Err(Reject::Node {
                        node: member.name().to_owned(),
                        reason: member.state.to_string(),
                    });
                }
                None => return Ok(None),
            }
        };
        self.context.known.saw(id, &task.node);
        Ok(Some(TaskContainer {
            id: id.to_owned(),
            hop,
            target: self.target(id)?,
        }))
    }

    /// The request's target with a container's id in place of the name.
    fn target(&self, id: &str) -> Result<Uri, Reject> {
        let path = self.asked.path.path();
        let pattern = self.asked.found.map_or("", |found| found.endpoint.pattern);
        let before = pattern.split('{').next().unwrap_or_default();
        let rest = path.strip_prefix(before);
        let rest = rest.and_then(|rest| rest.strip_prefix(self.name));
        let rest = rest.ok_or_else(|| Reject::Internal(format!("no name in {path}")))?;
        let mut target = match self.asked.path.version() {
            Some(version) => format!("/v{version}"),
            None => String::new(),
        };
        target += &request::escape(&format!("{before}{id}{rest}"));
        if !self.asked.query.is_empty() {
            target += "?";
            target += self.asked.query;
        }
        let internal = |e: http::uri::InvalidUri| Reject::Internal(e.to_string());
        target.parse().map_err(internal)
    }

    /// The service of this name or id.
    async fn service(&self, manager: &Hop, name: &str) -> Result<Option<Service>, Reject> {
        if name.is_empty() {
            return Ok(None);
        }
        let answer = self.get(manager, &format!("/services/{name}"), "").await?;
        let service = answer.and_then(|body| serde_json::from_slice::<Service>(&body).ok());
        Ok(service.filter(|service| {
            let begins = name.len() >= PREFIX && service.id.starts_with(name);
            service.spec.name == name || begins
        }))
    }

    async fn task_by_id(&self, manager: &Hop) -> Result<Option<Task>, Reject> {
        let is_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if self.name.len() < PREFIX || !self.name.bytes().all(is_id) {
            return Ok(None);
        }
        let path = format!("/tasks/{}", self.name);
        let answer = self.get(manager, &path, "").await?;
        let task = answer.and_then(|body| serde_json::from_slice::<Task>(&body).ok());
        Ok(task.filter(|task| task.id.starts_with(self.name)))
    }

    async fn tasks_of(&self, manager: &Hop, service: &Service) -> Result<Vec<Task>, Reject> {
        let filters = json!({ "service": { service.id.clone(): true } }).to_string();
        let query = query::with("", "filters", &filters);
        let answer = self.get(manager, "/tasks", &query).await?;
        let tasks = answer.and_then(|body| serde_json::from_slice::<Vec<Task>>(&body).ok());
        let mut tasks = tasks.unwrap_or_default();
        tasks.retain(|task| task.service == service.id);
        Ok(tasks)
    }

    /// The answer of one node; `None` if it is no 200.
    async fn get(
        &self,
        hop: &Hop,
        path: &str,
        query: &str,
    ) -> Result<Option<bytes::Bytes>, Reject> {
        let cluster = &self.context.cluster;
        let ask = Ask {
            head: &request::get("/").map_err(internal)?,
            version: ApiVersionChoice::of(cluster, self.asked.path.version()),
            patience: Timeout::Deadline,
            path,
            query,
            // The caller may use a container without the right to list tasks.
            on_behalf_of: &OnBehalfOf::Agent,
            request_id: self.x.id().as_header(),
        };
        let node = at(cluster, hop);
        let answer = ask_node(cluster, &node, &ask, query, &Budget::one(ANSWER)).await;
        let found = answer.ok().filter(|a| a.head.status == StatusCode::OK);
        Ok(found.map(|answer| answer.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_slot_or_a_node_and_perhaps_an_id() {
        let task = |slot: u64| -> Task {
            serde_json::from_value(json!({
                "ID": "t1t1t1t1t1t1t1t1t1t1t1t1t", "Slot": slot, "NodeID": "n1n1n1n1n1n1n1n1n1n1n1n1n",
            }))
            .unwrap()
        };
        for (slot, place, expected) in [
            (1, "1", true),
            (1, "01", false),
            (1, "10", false),
            (10, "1", false),
            (1, "1.t1t1t1t1t1t1", true),
            (1, "1.t1", false),
            (1, "1.x1t1t1t1t1t1", false),
            (1, "", false),
            (1, "n1n1n1n1n1n1n1n1n1n1n1n1n", false),
            (0, "n1n1n1n1n1n1n1n1n1n1n1n1n", true),
            (0, "n1n1n1n1", true),
            (0, "n1", false),
            (0, "0", false),
            (0, "", false),
        ] {
            assert_eq!(task(slot).is_at(place), expected, "{slot} {place:?}");
        }
    }

    #[test]
    fn ids_of_containers_and_odd_names_name_no_task() {
        for (name, expected) in [
            ("web", true),
            ("web.1", true),
            (&"a".repeat(64), false),
            ("a/b", false),
            ("a b", false),
            (&"z".repeat(129), false),
        ] {
            assert_eq!(may_name_a_task(name), expected, "{name}");
        }
    }
}
