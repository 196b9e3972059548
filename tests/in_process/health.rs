//! `skep health`, which engines run again and again.

use std::time::Duration;

use skep::cli::health;
use skep_bed::eventually;
use tokio::time::timeout;

use crate::common::{ClusterBuilder, manager};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_needs_no_secret_and_fails_when_the_agent_ends() {
    ClusterBuilder::of([manager("n1")])
        .run(async |bed| {
            let mut config = bed.node("n1").config.clone();
            // No key can be derived.
            config.cluster.secret_files = vec![bed.folder().join("none")];
            let said = health::run(&config).await.unwrap();
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert!(said["node"].as_str().unwrap().ends_with(" n1"), "{said}");
            assert_eq!(said["engine"]["version"], "26.1.5");
            // An engine does not make its agent unhealthy.
            bed.node("n1").engine.stop().await;
            assert!(eventually(|| bed.node("n1").cluster().me().engine.is_none()).await);
            assert!(health::run(&config).await.is_ok());
            bed.node_mut("n1").stop().await;
            let refused = health::run(&config).await.unwrap_err();
            assert!(refused.to_string().contains("does not answer"), "{refused}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_checks_return_at_once_and_a_later_one_holds_until_the_agent_ends() {
    ClusterBuilder::of([manager("n1")])
        .run(async |bed| {
            let config = bed.node("n1").config.clone();
            let hour = Duration::from_secs(3600);
            for _ in 0..3 {
                assert!(health::hold(&config, hour).await.is_ok());
            }
            // Its time is over before the next check.
            assert!(health::hold(&config, Duration::from_secs(1)).await.is_ok());
            let mut holding = tokio::spawn(async move { health::hold(&config, hour).await });
            let early = timeout(Duration::from_secs(1), &mut holding).await;
            assert!(early.is_err(), "it returned at once");
            bed.node_mut("n1").stop().await;
            assert!(holding.await.unwrap().is_err());
        })
        .await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_accepts_and_does_not_answer_is_not_healthy() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let config = skep::config::Config {
        listen: vec![skep::config::Listen {
            address: ([127, 254, 254, 254], 1).into(),
            tls: skep::config::ListenTls::default(),
        }],
        ..skep::config::Config::default()
    };
    let name = SocketAddr::from_abstract_name("skep-health/127.254.254.254:1").unwrap();
    let hanging = UnixListener::bind_addr(&name).unwrap();
    let refused = health::run(&config).await.unwrap_err();
    assert!(refused.to_string().contains("does not answer"), "{refused}");
    drop(hanging);
    assert!(health::run(&config).await.is_err());
}
