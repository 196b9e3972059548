//! The lab tests: skep as it is deployed, on real engines in a real Swarm of one manager and two workers.
//!
//! They run as root with `SKEP_LAB=1` and the static program to test in `SKEP`. They run one after the other, because most
//! of them change state that others see. With `SKEP_LAB=keep` the lab stays up, and the next run uses it again.

use std::fs::File;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::{env, thread};

use libtest_mimic::{Arguments, Trial};

use cluster::Lab;

#[path = "lab/bootstrap.rs"]
mod bootstrap;
#[path = "lab/builds.rs"]
mod builds;
#[path = "lab/changes.rs"]
mod changes;
#[path = "lab/clients.rs"]
mod clients;
#[path = "lab/cluster.rs"]
mod cluster;
#[path = "lab/cluster_wide.rs"]
mod cluster_wide;
#[path = "lab/command.rs"]
mod command;
#[path = "lab/compose.rs"]
mod compose;
#[path = "lab/copies.rs"]
mod copies;
#[path = "lab/faults.rs"]
mod faults;
#[path = "lab/fixtures.rs"]
mod fixtures;
#[path = "lab/forward.rs"]
mod forward;
#[path = "lab/gateway.rs"]
mod gateway;
#[path = "lab/images.rs"]
mod images;
#[path = "lab/lists.rs"]
mod lists;
#[path = "lab/live.rs"]
mod live;
#[path = "lab/load.rs"]
mod load;
#[path = "lab/logs.rs"]
mod logs;
#[path = "lab/manager.rs"]
mod manager;
#[path = "lab/newest.rs"]
mod newest;
#[path = "lab/newest_upgrade.rs"]
mod newest_upgrade;
#[path = "lab/nodes.rs"]
mod nodes;
#[path = "lab/people.rs"]
mod people;
#[path = "lab/plain.rs"]
mod plain;
#[path = "lab/policies.rs"]
mod policies;
#[path = "lab/portainer.rs"]
mod portainer;
#[path = "lab/portainer/console.rs"]
mod portainer_console;
#[path = "lab/portainer/engine.rs"]
mod portainer_engine;
#[path = "lab/portainer/faults.rs"]
mod portainer_faults;
#[path = "lab/portainer/proxy.rs"]
mod portainer_proxy;
#[path = "lab/portainer/stack.rs"]
mod portainer_stack;
#[path = "lab/proxies.rs"]
mod proxies;
#[path = "lab/request.rs"]
mod request;
#[path = "lab/size.rs"]
mod size;
#[path = "lab/standalone.rs"]
mod standalone;
#[path = "lab/streams.rs"]
mod streams;
#[path = "lab/targets.rs"]
mod targets;
#[path = "lab/trust.rs"]
mod trust;
#[path = "lab/versions.rs"]
mod versions;
#[path = "lab/wait.rs"]
mod wait;

/// The lab that the tests share.
const NAME: &str = "test";

type Test = fn(&Lab);

/// Names and tests, in the order in which they run: the size of an idle agent first, faults last.
macro_rules! tests {
    ($($module:ident: $($test:ident)*;)*) => {
        [$($((concat!(stringify!($module), "::", stringify!($test)), $module::$test as Test)),*),*]
    };
}

const TESTS: &[(&str, Test)] = &tests! {
    nodes: every_agent_is_healthy every_agent_finds_all_nodes_with_role_engine_and_api;
    size: the_image_and_an_idle_agent_are_small;
    lists: ps_shows_the_containers_of_all_nodes filters_apply_to_all_nodes a_limit_applies_across_all_nodes
        before_and_since_accept_containers_of_other_nodes every_container_names_its_node
        an_image_on_all_nodes_is_one_row_that_names_them volumes_with_the_same_name_on_two_nodes_are_two_rows
        an_overlay_is_one_row_and_a_bridge_one_row_per_node;
    streams: the_end_of_standard_input_does_not_end_an_exec exec_returns_output_errors_and_exit_code
        four_megabytes_pass_through_an_exec_unchanged exec_on_a_terminal_gets_a_terminal_of_the_same_size
        attach_accepts_piped_input run_returns_output_and_exit_code_and_cleans_up
        run_on_a_terminal_gets_a_terminal_of_the_same_size;
    live: logs_are_followed_live_and_end_when_the_client_leaves events_arrive_live;
    builds: the_classic_builder_works_on_the_entry_node_and_on_another buildkit_works_on_the_entry_node_and_on_another
        a_failed_build_shows_the_reason;
    copies: cp_works_in_both_directions half_a_gigabyte_moves_between_nodes_in_little_memory;
    forward: ports_of_containers_on_every_network_are_reached_on_every_node;
    manager: a_worker_answers_with_a_managers_view a_stack_is_deployed_and_removed_through_a_worker
        a_secret_is_created_through_a_worker service_logs_are_available_through_a_worker;
    cluster_wide: events_of_all_nodes_are_one_stream past_events_come_in_order_of_time
        disk_usage_covers_all_nodes an_overlay_shows_the_containers_of_all_nodes
        an_exec_is_known_to_every_agent an_image_is_loaded_tagged_and_removed_on_all_nodes
        a_prune_runs_on_one_node_unless_all_are_named a_container_is_created_on_the_node_of_the_objects_it_needs
        container_commands_find_a_container_by_its_name a_swarm_event_appears_once;
    compose: the_compose_file_is_valid compose_builds_runs_and_removes_an_application;
    images: a_container_gets_its_image_from_the_node_that_has_it
        a_container_beside_its_volume_gets_an_image_that_was_built_elsewhere
        different_images_of_one_name_are_named_and_none_is_copied a_built_image_is_spread_to_the_nodes_of_a_service;
    targets: a_node_can_be_named_by_id_or_hostname a_list_of_one_node_has_only_its_own_objects
        an_unknown_node_gets_an_error_that_names_the_known_ones
        a_target_that_the_signature_does_not_cover_is_refused portainers_headers_choose_a_node_or_a_manager
        an_ambiguous_name_gets_an_error_that_names_both_nodes;
    trust: an_unsigned_request_is_refused a_replayed_request_is_refused
        a_signature_is_valid_for_one_request_only another_clusters_secret_does_not_verify_the_agents
        a_signature_with_another_clusters_secret_is_refused tls_1_3_verifies_with_the_clusters_ca_only
        a_certificate_of_another_authority_is_refused without_a_secret_no_agent_starts_in_a_swarm;
    logs: a_request_is_one_log_line_without_secrets health_checks_and_probes_do_not_fill_the_log;
    people: a_user_joins_and_leaves_while_everything_runs
        the_same_holds_where_the_manager_has_the_oldest_engine;
    changes: every_agent_notices_a_change_of_role an_agent_finishes_open_streams_after_a_stop_signal;
    faults: a_disconnected_node_is_named_and_comes_back a_node_with_a_hanging_engine_is_named_and_comes_back
        a_killed_agent_comes_back without_a_manager_only_manager_calls_fail;
    images: a_node_that_is_away_is_named_and_the_others_get_the_image;
    standalone: serve_without_a_file_prints_a_command_that_works
        the_compose_agent_accepts_requests_signed_with_sign_sh;
    plain: a_docker_cli_in_a_container_finds_skep_where_a_socket_proxy_was a_published_port_without_tls_stops_the_start
        a_container_is_known_by_its_name_or_its_service a_manager_of_a_swarm_needs_no_secret_for_it
        ps_shows_where_a_published_port_really_is;
    proxies: tecnativas_example_needs_another_image_only linuxservers_example_needs_another_image_only
        wollomatics_example_needs_another_image_only a_variable_without_a_meaning_here_stops_the_start;
    load: a_crowd_does_not_stop_an_agent_at_its_memory_limit;
    gateway: a_socket_has_its_owner_and_a_signal_reloads_its_policy;
    policies: a_reader_sees_all_nodes_without_secrets_and_changes_none
        a_developer_sees_only_the_node_with_the_label an_assistant_sees_only_its_own_containers
        a_certificate_gives_the_docker_cli_the_rights_of_its_name only_an_admin_reaches_an_agent a_loaded_image_does_not_take_the_name_of_the_agents
        a_service_gets_only_the_granted_secrets
        the_audit_log_records_who_was_denied_and_why;
    newest: every_agent_finds_the_newest_engine an_image_is_one_row_for_each_store
        a_container_gets_its_image_from_an_engine_with_another_store disk_usage_is_complete_in_every_version
        a_mac_address_arrives_at_every_engine events_of_the_newest_engine_arrive_in_every_version;
    portainer: a_server_recognises_an_agent_and_adds_it a_snapshot_has_the_whole_swarm
        every_container_of_a_snapshot_is_inspected_without_a_target compressed_lists_are_complete
        files_of_a_volume_are_put_listed_read_and_deleted_on_their_node;
    portainer_stack: the_docker_cli_deploys_a_stack_through_a_worker
        a_stack_is_created_pruned_and_removed_with_all_its_objects a_failed_login_gets_the_engines_error
        the_docker_cli_runs_and_builds_through_a_proxy_that_only_signs compose_works_through_a_proxy_that_only_signs;
    portainer_engine: an_action_runs_on_the_containers_node the_logs_of_a_container_come_from_its_node
        a_failed_pull_gets_the_engines_error;
    portainer_console: an_exec_has_the_size_of_the_browsers_window
        input_arrives_unchanged_output_is_text_and_closing_the_browser_ends_the_exec
        a_container_outlives_the_attached_browser;
    portainer_faults: a_node_disconnected_after_the_list_does_not_break_a_snapshot
        an_engine_that_hangs_after_the_list_does_not_break_a_snapshot;
    bootstrap: a_plain_swarm_is_set_up_checked_upgraded_and_plain_again
        a_swarm_with_a_newer_manager_is_set_up_checked_upgraded_and_plain_again
        a_node_without_the_image_is_named_and_everything_is_taken_back;
    versions: every_agent_finds_three_engines_and_their_api_ranges list_commands_show_all_nodes
        lists_in_any_version_use_the_nearest_version_of_each_node exec_works_on_every_node_through_every_agent
        a_new_client_negotiates_a_version_that_every_node_serves
        clients_of_any_version_work_on_every_node_through_every_agent
        ping_and_version_announce_the_versions_that_every_node_serves
        lists_are_complete_even_without_a_common_version;
    clients: every_sequence_is_the_same_through_every_agent every_sequence_is_the_same_while_a_node_is_drained
        every_sequence_is_the_same_while_a_node_is_cut_off a_preset_lets_its_client_do_the_whole_sequence;
    newest_upgrade: every_command_works_through_every_node_at_every_step;
};

/// The names of the modules whose tests need the newest engine begin with this.
const NEWEST: &str = "newest";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mode = env::var("SKEP_LAB").unwrap_or_default();
    if arguments.list || !["1", "keep"].contains(&&*mode) {
        if !arguments.list {
            drop(writeln!(
                stdout(),
                "\nThe lab tests are skipped. To run them, as root: make test"
            ));
        }
        let trials = TESTS
            .iter()
            .map(|(name, _)| Trial::test(*name, || Ok(())).with_ignored_flag(true));
        // With --ignored, the trials would pass without testing anything.
        arguments.ignored = false;
        arguments.include_ignored = false;
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    if !Path::new(&cluster::skep()).is_file() {
        say("SKEP is not the path of a program; run `make test`");
        return ExitCode::FAILURE;
    }
    let lock =
        File::create(env::temp_dir().join("skep-lab-tests.lock")).expect("a file of the tests");
    if lock.try_lock().is_err() {
        say("the lab tests already run on this machine, or their lab is still shutting down");
        return ExitCode::FAILURE;
    }
    let cleanup = (mode == "1").then(|| Cleanup::start(&lock));
    // A failure in here panics; the lab goes down all the same.
    let outcome = thread::spawn(move || run(&arguments, mode == "keep")).join();
    if let Some(cleanup) = cleanup {
        cleanup.run();
    }
    outcome.unwrap_or(ExitCode::FAILURE)
}

fn run(arguments: &Arguments, keep: bool) -> ExitCode {
    let kept = keep.then(|| Lab::kept(NAME)).flatten();
    let lab = Arc::new(kept.unwrap_or_else(prepare));
    let reason = cluster::without_newest_engine();
    if let Some(reason) = &reason {
        say(&format!(
            "the tests of the newest engine are left out: {reason}"
        ));
    }
    let trials = TESTS.iter().map(|&(name, test)| {
        let lab = lab.clone();
        let left_out = reason.is_some() && name.starts_with(NEWEST);
        Trial::test(name, move || {
            lab.all_ready(60);
            test(&lab);
            Ok(())
        })
        .with_ignored_flag(left_out)
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    if conclusion.has_failed() {
        for node in lab.numbers() {
            let log = lab.log(node);
            let from = log.lines().count().saturating_sub(30);
            let end: Vec<_> = log.lines().skip(from).collect();
            say(&format!(
                "the end of the agent's log on node{node}:\n{}",
                end.join("\n")
            ));
        }
        say(&lab.lab("status").run().to_string());
    }
    conclusion.exit_code()
}

/// A new lab with skep deployed and objects for the tests.
fn prepare() -> Lab {
    let lab = Lab::up(NAME, "--nodes 3 --managers 1");
    let deployed = lab.lab("deploy").within(120).run();
    let took = deployed.took;
    deployed.ok();
    let ready = lab.all_ready(60);
    say(&format!(
        "deployed in {took:.1?}; after {ready:.1?} more, every agent has found every node"
    ));
    fixtures::create(&lab);
    lab.keep();
    lab
}

/// Prints a measurement, or an error outside a test.
fn say(text: &str) {
    drop(writeln!(stderr(), "{text}"));
}

/// Removes the labs when the tests have ended in any way. A child process in its own session, which no Ctrl-C reaches,
/// waits for the end of a pipe that only this process holds. The lock is the child's standard output, to which it writes
/// nothing, so that the lock is held until all labs are gone.
struct Cleanup(Child);

impl Cleanup {
    fn start(lock: &File) -> Self {
        let labs = [
            NAME,
            standalone::NAME,
            people::NAME,
            policies::NAME,
            portainer::NAME,
            bootstrap::NAME,
            bootstrap::NEWER_NAME,
            versions::NAME,
            clients::NAME,
            newest_upgrade::NAME,
        ]
        .join(" ");
        let wait = format!(
            "cat >/dev/null; for name in {labs}; do LAB_NAME=$name '{}' down; done",
            cluster::script().display()
        );
        let mut command = Command::new("setsid");
        let child = command
            .args(["sh", "-c", &wait])
            .stdin(Stdio::piped())
            .stdout(lock.try_clone().expect("a handle of the lock file"))
            .spawn();
        Self(child.expect("setsid is part of Debian's util-linux"))
    }

    fn run(mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
