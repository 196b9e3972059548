"""The life of containers and a service in docker-py's words. Its last line of each step goes to the comparison.

Arguments: none. DOCKER_HOST is the engine or the agent, SEQUENCE the name of everything that is made.
"""

import io
import os
import re
import sys
import tarfile
import time

import docker
from docker import errors, types

NAME = os.environ["SEQUENCE"]
IMAGE = f"127.0.0.1:5000/{NAME}"
LABELS = {"sequence": NAME}
FILTERS = {"label": f"sequence={NAME}"}
client = docker.from_env(timeout=60)


def plain(value):
    text = re.sub(r"(sha256:)?\b[0-9a-f]{12,64}\b", "ID", str(value))
    text = re.sub(r"\b[a-z0-9]{25}\b", "SWARM-ID", text)
    return re.sub(r"\s+", " ", text)


def step(name, action):
    """Runs one step and prints what came of it. An error of the API is an outcome as well."""
    try:
        outcome = f"0\t{plain(action())}"
    except errors.APIError as error:
        outcome = f"{error.status_code}\t{plain(error.explanation)}"
    except Exception as error:  # pylint: disable=broad-exception-caught
        outcome = f"{type(error).__name__}\t{plain(error)}"
    print(f"{name}\t{outcome}", flush=True)


def eventually(expected, look):
    found = None
    for _ in range(100):
        found = look()
        if found == expected:
            break
        time.sleep(0.2)
    return found


def states():
    return sorted((c.name, c.status) for c in client.containers.list(all=True, filters=FILTERS, ignore_removed=True))


def labels(found):
    """Without the one that agents add, by default, to say where an object is."""
    return {name: value for name, value in found.labels.items() if name != "skep.node"}


def archive(name, content):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def build():
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in [
            ("Dockerfile", b'FROM busybox\nARG WORD\nCOPY file /file\nRUN echo "$WORD" >/word\n'),
            ("file", b"content\n"),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    context.seek(0)
    image, _ = client.images.build(
        fileobj=context, custom_context=True, tag=f"{NAME}/built:1", buildargs={"WORD": "hello"}, labels=LABELS, rm=True
    )
    return image.tags


def build_fails():
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"), rm=True)
    except errors.BuildError as error:
        return error.msg
    return "no error"


def get(name=NAME):
    return client.containers.get(name)


def executed(expected, command, name=NAME):
    """docker-py loses output that arrives together with the head of the answer, which happens on a busy machine: its HTTP
    library has read it by then. So an exec with less than the expected output is tried again."""
    return eventually(expected, lambda: tuple(get(name).exec_run(command)))


def exec_stream():
    api = client.api
    made = api.exec_create(NAME, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    parts = [part for part in api.exec_start(made["Id"], stream=True, demux=True)]
    out, err = (b"".join(p[n] or b"" for p in parts) for n in (0, 1))
    return out, err, api.exec_inspect(made["Id"])["ExitCode"]


def exec_socket():
    made = client.api.exec_create(NAME, ["head", "-c", "4"], stdin=True)
    sock = client.api.exec_start(made["Id"], socket=True)
    raw = getattr(sock, "_sock", sock)
    raw.sendall(b"abcd")
    raw.settimeout(10)
    data = b""
    while b"abcd" not in data:
        part = raw.recv(64)
        if not part:
            break
        data += part
    sock.close()
    return data[8:]


def events():
    # An engine remembers the last 256 events only, so these are new.
    get().rename(f"{NAME}-renamed")
    get(f"{NAME}-renamed").rename(NAME)
    seen = client.events(
        since=STARTED, until=int(time.time()) + 1, decode=True,
        filters={"type": "container", "container": NAME, "event": "rename"},
    )
    return [event["Action"] for event in seen][-2:]


def get_archive():
    stream, stat = get().get_archive("/copied")
    return len(b"".join(stream)) > 0, stat["name"], stat["size"]


def save_and_load():
    data = b"".join(client.images.get(f"{NAME}/built:1").save(named=True))
    return [image.tags for image in client.images.load(data)]


STARTED = int(time.time()) - 1
step("version", lambda: docker.__version__)
step("ping", client.ping)
step("info", lambda: client.info()["OSType"])
step("look: nothing", states)
step("look: no container", get)
step("look: no image", lambda: client.images.get(f"{IMAGE}/pulled:1"))
step("look: no volume", lambda: client.volumes.get(NAME))
step("look: no network", lambda: client.networks.get(NAME))
step("create: no image", lambda: client.containers.create(f"{IMAGE}/pulled:1", name=NAME))
step("pull", lambda: client.images.pull(f"{IMAGE}/pulled", tag="1").tags)
step("pull: no such tag", lambda: client.images.pull(f"{IMAGE}/pulled", tag="none"))
step("registry data", lambda: client.images.get_registry_data(f"{IMAGE}/pulled:1").attrs["Descriptor"]["mediaType"])
step("image: labels", lambda: labels(client.images.get(f"{IMAGE}/pulled:1")))
step("build", build)
step("build: fails", build_fails)
step("images", lambda: sorted(tag for image in client.images.list(filters=FILTERS) for tag in image.tags))
step("tag", lambda: client.images.get(f"{NAME}/built:1").tag(f"{NAME}/tagged", "2"))
step("history", lambda: len(client.images.get(f"{NAME}/built:1").history()) > 2)
step("network create", lambda: client.networks.create(NAME, labels=LABELS, check_duplicate=True).name)
step("network create: again", lambda: client.networks.create(NAME, labels=LABELS, check_duplicate=True).name)
step("networks", lambda: [network.name for network in client.networks.list(names=[NAME])])
step("volume create", lambda: client.volumes.create(NAME, labels=LABELS).name)
step("volumes", lambda: [volume.name for volume in client.volumes.list(filters=FILTERS)])


def create():
    made = client.containers.create(
        f"{NAME}/built:1", ["sh", "-c", "echo ready; echo problem >&2; exec sleep 86400"], name=NAME, labels=LABELS,
        network=NAME, volumes={NAME: {"bind": "/data", "mode": "rw"}}, environment={"GREETING": "hello"},
        ports={"80/tcp": ("127.0.0.1", None)}, stop_signal="KILL", detach=True,
    )
    return made.name, made.status


step("create", create)
step("create: again", lambda: client.containers.create(f"{NAME}/built:1", name=NAME))
step("look: created", states)
step("start", lambda: get().start())
step("look: running", states)
step("inspect", lambda: (get().attrs["State"]["Status"], get().attrs["Mounts"][0]["Name"], list(get().attrs["NetworkSettings"]["Networks"])))
step("ports", lambda: [port["HostIp"] for port in get().ports["80/tcp"]])
ALL = ["sh", "-c", "cat /file /word; echo $GREETING; echo kept >/data/file"]
step("exec", lambda: executed((0, b"content\nhello\nhello\n"), ALL))
step("exec: exit code", lambda: get().exec_run("false").exit_code)
step("exec: no such program", lambda: get().exec_run("/none").exit_code)
step("exec: stream", lambda: eventually((b"out\n", b"err\n", 3), exec_stream))
step("exec: socket", exec_socket)
step("logs", lambda: eventually([b"problem", b"ready"], lambda: sorted(get().logs().split())))
step("logs: one stream", lambda: get().logs(stdout=True, stderr=False))
step("logs: follow", lambda: next(iter(get().logs(stream=True, follow=True, stderr=False))))
step("top", lambda: len(get().top()["Processes"]))
step("stats", lambda: "memory_stats" in get().stats(stream=False))
step("stats: stream", lambda: "cpu_stats" in next(get().stats(stream=True, decode=True)))
step("put archive", lambda: get().put_archive("/", archive("copied", b"bytes")))
step("get archive", get_archive)
step("get archive: no such file", lambda: get().get_archive("/none"))
step("diff", lambda: sorted(change["Path"] for change in get().diff()))
step("update", lambda: get().update(restart_policy={"Name": "on-failure", "MaximumRetryCount": 3}))
step("pause", lambda: get().pause())
step("look: paused", states)
step("unpause", lambda: get().unpause())
step("rename", lambda: get().rename(f"{NAME}-renamed"))
step("rename: back", lambda: get(f"{NAME}-renamed").rename(NAME))
step("restart", lambda: get().restart(timeout=0))
step("network disconnect", lambda: client.networks.get(NAME).disconnect(NAME))
step("network connect", lambda: client.networks.get(NAME).connect(NAME, aliases=["other"]))
step("network: containers", lambda: [c.name for c in client.networks.get(NAME).containers])
step("commit", lambda: get().commit(f"{NAME}/committed", "1").tags)


def run_second():
    client.containers.run(
        "busybox", "sleep 86400", name=f"{NAME}-2", labels=LABELS, network=NAME, volumes_from=[NAME],
        stop_signal="KILL", detach=True,
    )
    return executed((0, b"kept\n"), "cat /data/file", f"{NAME}-2")


step("run: a second one", run_second)
step("exec: the other by name", lambda: get(f"{NAME}-2").exec_run(f"ping -c 1 -W 5 {NAME}").exit_code)
step("run: output", lambda: client.containers.run("busybox", "echo output", labels=LABELS, remove=True))


def run_fails():
    try:
        client.containers.run("busybox", ["sh", "-c", "echo because >&2; exit 5"], labels=LABELS, remove=True)
    except errors.ContainerError as error:
        return error.exit_status, error.stderr
    return "no error"


step("run: exit code", run_fails)
step("run: pulls", lambda: client.containers.run(f"{IMAGE}/run:1", "echo pulled", labels=LABELS, remove=True))
step("run: no such image", lambda: client.containers.run(f"{IMAGE}/run:none", "true", remove=True))
step("save and load", save_and_load)
step("events", events)
step("look: two", states)
step("remove: a running one", lambda: get().remove())
step("volume remove: in use", lambda: client.volumes.get(NAME).remove())
step("kill", lambda: get(f"{NAME}-2").kill())
step("wait", lambda: get(f"{NAME}-2").wait()["StatusCode"])
step("stop", lambda: get().stop())
step("look: stopped", states)
step("remove", lambda: [get(name).remove(v=True) for name in (NAME, f"{NAME}-2")])
step("remove: again", lambda: client.api.remove_container(NAME))
step("network remove", lambda: client.networks.get(NAME).remove())
step("volume remove", lambda: client.volumes.get(NAME).remove())
for tag in (f"{NAME}/built:1", f"{NAME}/tagged:2", f"{NAME}/committed:1", f"{IMAGE}/pulled:1", f"{IMAGE}/run:1"):
    step(f"image remove: {tag}", lambda tag=tag: client.images.remove(tag))
step("image remove: again", lambda: client.images.remove(f"{NAME}/built:1"))
step("look: nothing is left", states)
step("images: none is left", lambda: client.images.list(filters=FILTERS))


def service():
    return client.services.get(NAME)


def running():
    # Tasks of a container that has just begun are of its service as well.
    return len([task for task in service().tasks({"desired-state": "running"}) if task["Status"]["State"] == "running"])


# Version 6 does not know the name of a new config.
step("config create", lambda: bool(client.configs.create(name=NAME, data=b"from a person", labels=LABELS).id))


def create_service():
    config = client.configs.list(filters={"name": NAME})[0]
    return client.services.create(
        "busybox", ["sleep", "86400"], name=NAME, labels=LABELS, container_labels=LABELS, stop_grace_period=1,
        constraints=["node.role==manager"], endpoint_spec=types.EndpointSpec(mode="dnsrr"),
        configs=[types.ConfigReference(config.id, NAME, "/config")],
    ).name


step("service create", create_service)
step("service: one task", lambda: eventually(1, running))
step("service scale", lambda: service().scale(2))
step("service: two tasks", lambda: eventually(2, running))
step("service update", lambda: sorted(service().update(env=["A=b"]) or {}))
step("service: updated", lambda: service().attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"])
step("services", lambda: [one.name for one in client.services.list(filters=FILTERS)])
step("service remove", lambda: service().remove())
step("service remove: again", service)
step("service: no containers", lambda: eventually([], states))
step("config remove", lambda: client.configs.list(filters={"name": NAME})[0].remove())
sys.exit(0)
