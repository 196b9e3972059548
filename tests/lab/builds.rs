//! `docker build`, classic and with BuildKit, on the entry node and on another.

use std::fs;

use super::cluster::{Docker, Lab};
use super::command::task;

const ENTRY: usize = 2;

fn build(lab: &Lab, docker: &Docker, buildkit: &str, node: usize) {
    let folder = lab.file(&format!("build-{buildkit}-{node}"));
    fs::create_dir(&folder).expect("a folder of the test");
    // More than any buffer on the route.
    let size = 3_000_000;
    task("sh", "-c")
        .arg(format!(
            "head -c {size} /dev/urandom > {}/blob",
            folder.display()
        ))
        .ok();
    let file = "FROM busybox\nARG WORD\nCOPY blob /blob\nRUN echo \"$WORD from $(hostname)\" > /word && wc -c < /blob\n";
    fs::write(folder.join("Dockerfile"), file).expect("a file of the test");
    let tag = format!("built-{buildkit}");
    let build = docker
        .cmd("build --build-arg WORD=hello -t")
        .arg(&tag)
        .arg(folder.display().to_string());
    let done = build
        .env("DOCKER_BUILDKIT", buildkit)
        .env("BUILDKIT_PROGRESS", "plain")
        .within(40)
        .run();
    let progress = format!("{}{}", done.text(), done.err);
    done.ok();
    assert!(progress.contains(&size.to_string()), "{progress}");

    let engine = lab.engine(node);
    let word = engine.cmd("run --rm").arg(&tag).arg_each("cat /word").ok();
    assert!(word.starts_with("hello from "), "{word}");
    let there = engine
        .cmd("run --rm")
        .arg(&tag)
        .arg_each("sha256sum /blob")
        .ok();
    let here = task("sha256sum", "")
        .arg(folder.join("blob").display().to_string())
        .ok();
    assert_eq!(there.split(' ').next(), here.split(' ').next());
    engine.cmd("rmi -f").arg(&tag).ok();
}

pub(crate) fn the_classic_builder_works_on_the_entry_node_and_on_another(lab: &Lab) {
    build(lab, &lab.docker(ENTRY), "0", 2);
    build(lab, &lab.docker_for(ENTRY, "node3"), "0", 3);
}

pub(crate) fn buildkit_works_on_the_entry_node_and_on_another(lab: &Lab) {
    build(lab, &lab.docker(ENTRY), "1", 2);
    build(lab, &lab.docker_for(ENTRY, "node3"), "1", 3);
}

pub(crate) fn a_failed_build_shows_the_reason(lab: &Lab) {
    for buildkit in ["0", "1"] {
        let build = lab
            .docker_for(ENTRY, "node3")
            .cmd("build -")
            .input("FROM busybox\nRUN echo because; exit 3\n");
        let done = build
            .env("DOCKER_BUILDKIT", buildkit)
            .env("BUILDKIT_PROGRESS", "plain")
            .run();
        let output = format!("{}{}", done.text(), done.err);
        assert!(
            done.code != 0 && output.contains("because") && output.contains('3'),
            "{done}"
        );
    }
}
