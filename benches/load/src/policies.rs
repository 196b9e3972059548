//! The cost of a policy: the same front and the same requests, signed with keys of
//! `admin` and with keys whose policy has rules about heads and bodies.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{CREATE, PING, SMALL};
use crate::fronts::Fronts;
use crate::numbers::median;
use crate::rounds::{Turn, turn};
use crate::{say, signed};

/// More answers per second than any front sends on one thread.
const MOST: f64 = 40_000.0;

/// Prints a line for each kind of request.
pub(crate) async fn measure(fronts: &Fronts, rounds: usize, time: Duration) -> anyhow::Result<()> {
    say("\nA policy with rules compared with `admin`, at the same skep.\n")?;
    say("request       req/s admin  req/s ruled  ratio │ cpu µs admin  ruled  more")?;
    let body = create();
    let count = (MOST * time.as_secs_f64()) as usize;
    for (shown, path) in [
        ("GET 2 B", PING),
        ("GET 2 KB", SMALL),
        ("POST create", CREATE),
    ] {
        let (mut admin, mut ruled): (Vec<Turn>, Vec<Turn>) = Default::default();
        for round in 0..rounds {
            // They take turns in being first.
            let mut both = [(&fronts.signers, &mut admin), (&fronts.ruled, &mut ruled)];
            if round % 2 == 1 {
                both.reverse();
            }
            for (signers, turns) in both {
                let requests = match path {
                    CREATE => signed::posts(signers, path, &body, count)?,
                    path => signed::requests(signers, path, None, count)?,
                };
                turns.push(turn(fronts, &fronts.skep, &Arc::new(requests), time).await?);
            }
        }
        let each = |turns: &[Turn], what: fn(&Turn) -> f64| {
            median(&turns.iter().map(what).collect::<Vec<_>>())
        };
        let pairs = || ruled.iter().zip(&admin);
        let ratio: Vec<_> = pairs().map(|(r, a)| r.load.rate / a.load.rate).collect();
        let more: Vec<_> = pairs().map(|(r, a)| r.cpu - a.cpu).collect();
        say(&format!(
            "{shown:<12}  {:>11.0}  {:>11.0}  {:>5.2} │ {:>12.1}  {:>5.1}  {:>4.1}",
            each(&admin, |t| t.load.rate),
            each(&ruled, |t| t.load.rate),
            median(&ratio),
            each(&admin, |t| t.cpu),
            each(&ruled, |t| t.cpu),
            median(&more),
        ))?;
    }
    say("\nGoals: a call at least 0.95 of admin's; a create at most 20 µs more.")
}

/// A create request of the docker CLI with the settings of a typical application.
fn create() -> Vec<u8> {
    let env: Vec<_> = (0..20)
        .map(|n| format!("SETTING_{n}=a value of some length"))
        .collect();
    let env = serde_json::json!(env).to_string();
    CREATE_BODY.replace("ENV", &env).into_bytes()
}

const CREATE_BODY: &str = r#"{"Hostname":"","Domainname":"","User":"1000","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,
"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":ENV,"Cmd":["serve","--port","8080"],"Image":"ghcr.io/team/shop:1.4","Volumes":{},
"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{"com.example.app":"shop","com.example.team":"web"},"HostConfig":{
"Binds":["/srv/data/shop:/data:ro"],"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"bridge","PortBindings":{},
"RestartPolicy":{"Name":"unless-stopped","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"CapAdd":null,
"CapDrop":["ALL"],"Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,
"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":true,"SecurityOpt":["no-new-privileges"],
"UTSMode":"","UsernsMode":"","ShmSize":0,"CpuShares":0,"Memory":536870912,"NanoCpus":0,"CgroupParent":"","Devices":[],
"DeviceCgroupRules":null,"DeviceRequests":null,"PidsLimit":0,"Ulimits":null,"MaskedPaths":null,"ReadonlyPaths":null},
"NetworkingConfig":{"EndpointsConfig":{}}}"#;
