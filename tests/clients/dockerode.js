// The life of containers and a service in dockerode's words. DOCKER_HOST is the engine or the agent, SEQUENCE the name
// of everything that is made. Prints one line for each step: its name, the status and what came of it.
'use strict';

const Docker = require('dockerode');
const tar = require('tar-stream');
const { PassThrough } = require('stream');

const NAME = process.env.SEQUENCE;
const IMAGE = `127.0.0.1:5000/${NAME}`;
const LABELS = { sequence: NAME };
const FILTERS = { label: [`sequence=${NAME}`] };
const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });

const plain = (value) => String(value)
  .replace(/(sha256:)?\b[0-9a-f]{12,64}\b/g, 'ID')
  .replace(/\b[a-z0-9]{25}\b/g, 'SWARM-ID')
  .replace(/\s+/g, ' ');

async function step(name, action) {
  let outcome;
  try {
    const value = await action();
    outcome = `0\t${plain(typeof value === 'string' ? value : JSON.stringify(value))}`;
  } catch (error) {
    const message = (error.json && error.json.message) || error.message;
    outcome = `${error.statusCode || 'error'}\t${plain(message)}`;
  }
  console.log(`${name}\t${outcome}`);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function eventually(expected, look) {
  let found;
  for (let n = 0; n < 100; n += 1) {
    found = await look();
    if (JSON.stringify(found) === JSON.stringify(expected)) break;
    await pause(200);
  }
  return found;
}

async function states() {
  const list = await docker.listContainers({ all: true, filters: FILTERS });
  return list.map((one) => `${one.Names[0]} ${one.State}`).sort();
}

/** Without the one that agents add, by default, to say where an object is. */
function labels(found) {
  const { 'skep.node': _, ...others } = found.Config.Labels;
  return others;
}

function archive(files) {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name }, content);
  pack.finalize();
  return pack;
}

/** The last object of a stream of progress, or its error. */
function progress(stream) {
  return new Promise((done, failed) => {
    docker.modem.followProgress(stream, (error, output) => (error ? failed(error) : done(output.at(-1))));
  });
}

async function read(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function run(container, Cmd) {
  const exec = await container.exec({ Cmd, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({});
  const out = new PassThrough();
  const err = new PassThrough();
  const [outs, errs] = [read(out), read(err)];
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); });
  return [String(await outs), String(await errs), (await exec.inspect()).ExitCode];
}

async function typed(container, input) {
  const exec = await container.exec({ Cmd: ['head', '-c', String(input.length)], AttachStdin: true, AttachStdout: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const out = new PassThrough();
  const outs = read(out);
  docker.modem.demuxStream(stream, out, out);
  stream.on('end', () => out.end());
  stream.write(input);
  return String(await outs);
}

async function main() {
  const container = docker.getContainer(NAME);
  const second = docker.getContainer(`${NAME}-2`);
  const service = () => docker.getService(NAME);
  const started = Math.floor(Date.now() / 1000) - 1;
  await step('version', () => require('dockerode/package.json').version);
  await step('ping', async () => String(await docker.ping()));
  await step('look: nothing', states);
  await step('look: no container', () => container.inspect());
  await step('look: no image', () => docker.getImage(`${IMAGE}/pulled:1`).inspect());
  await step('look: no volume', () => docker.getVolume(NAME).inspect());
  await step('look: no network', () => docker.getNetwork(NAME).inspect());
  await step('create: no image', () => docker.createContainer({ name: NAME, Image: `${IMAGE}/pulled:1` }));
  await step('pull', async () => (await progress(await docker.pull(`${IMAGE}/pulled:1`))).status);
  await step('pull: no such tag', async () => progress(await docker.pull(`${IMAGE}/pulled:none`)));
  await step('image: labels', async () => labels(await docker.getImage(`${IMAGE}/pulled:1`).inspect()));
  await step('build', async () => {
    const context = archive({
      Dockerfile: 'FROM busybox\nARG WORD\nCOPY file /file\nRUN echo "$WORD" >/word\n', file: 'content\n',
    });
    const options = { t: `${NAME}/built:1`, buildargs: { WORD: 'hello' }, labels: LABELS, rm: true };
    return (await progress(await docker.buildImage(context, options))).stream;
  });
  await step('build: fails', async () => {
    const context = archive({ Dockerfile: 'FROM busybox\nRUN exit 3\n' });
    return progress(await docker.buildImage(context, { rm: true, forcerm: true }));
  });
  await step('images', async () => (await docker.listImages({ filters: FILTERS })).flatMap((one) => one.RepoTags).sort());
  await step('tag', async () => { await docker.getImage(`${NAME}/built:1`).tag({ repo: `${NAME}/tagged`, tag: '2' }); });
  await step('network create', async () => { await docker.createNetwork({ Name: NAME, Labels: LABELS, CheckDuplicate: true }); });
  await step('network create: again', () => docker.createNetwork({ Name: NAME, Labels: LABELS, CheckDuplicate: true }));
  await step('volume create', async () => (await docker.createVolume({ Name: NAME, Labels: LABELS })).name);
  await step('volumes', async () => (await docker.listVolumes({ filters: FILTERS })).Volumes.map((one) => one.Name));
  await step('create', async () => {
    await docker.createContainer({
      name: NAME, Image: `${NAME}/built:1`, Labels: LABELS, StopSignal: 'KILL', Env: ['GREETING=hello'],
      Cmd: ['sh', '-c', 'echo ready; echo problem >&2; exec sleep 86400'], ExposedPorts: { '80/tcp': {} },
      HostConfig: {
        NetworkMode: NAME, Binds: [`${NAME}:/data`], PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
      },
    });
  });
  await step('create: again', () => docker.createContainer({ name: NAME, Image: `${NAME}/built:1` }));
  await step('look: created', states);
  await step('start', async () => { await container.start(); });
  await step('look: running', states);
  await step('inspect', async () => {
    const found = await container.inspect();
    return [found.State.Status, found.Mounts[0].Name, Object.keys(found.NetworkSettings.Networks)];
  });
  await step('exec', () => run(container, ['sh', '-c', 'cat /file /word; echo $GREETING; echo kept >/data/file']));
  await step('exec: exit code', () => run(container, ['sh', '-c', 'echo out; echo err >&2; exit 7']));
  await step('exec: no such program', () => run(container, ['/none']));
  await step('exec: input', () => typed(container, 'from outside'));
  await step('logs', async () => {
    const lines = async () => String(await container.logs({ stdout: true, stderr: true })).match(/ready|problem/g) || [];
    return eventually(['problem', 'ready'], async () => (await lines()).sort());
  });
  await step('logs: follow', async () => {
    const stream = await container.logs({ stdout: true, follow: true });
    for await (const part of stream) { stream.destroy(); return /ready/.test(part); }
    return 'nothing';
  });
  await step('top', async () => (await container.top()).Processes.length);
  await step('stats', async () => 'memory_stats' in (await container.stats({ stream: false })));
  await step('put archive', async () => { await container.putArchive(archive({ copied: 'bytes' }), { path: '/' }); });
  await step('get archive', async () => (await read(await container.getArchive({ path: '/copied' }))).includes('bytes'));
  await step('get archive: no such file', () => container.getArchive({ path: '/none' }));
  await step('changes', async () => (await container.changes()).map((one) => one.Path).sort());
  await step('update', () => container.update({ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } }));
  await step('pause', async () => { await container.pause(); });
  await step('look: paused', states);
  await step('unpause', async () => { await container.unpause(); });
  await step('rename', async () => { await container.rename({ name: `${NAME}-renamed` }); });
  await step('rename: back', async () => { await docker.getContainer(`${NAME}-renamed`).rename({ name: NAME }); });
  await step('restart', async () => { await container.restart({ t: 0 }); });
  await step('network disconnect', async () => { await docker.getNetwork(NAME).disconnect({ Container: NAME }); });
  await step('network connect', async () => { await docker.getNetwork(NAME).connect({ Container: NAME }); });
  await step('commit', async () => (await container.commit({ repo: `${NAME}/committed`, tag: '1' })).Id);
  await step('run: a second one', async () => {
    await docker.createContainer({
      name: `${NAME}-2`, Image: 'busybox', Labels: LABELS, StopSignal: 'KILL', Cmd: ['sleep', '86400'],
      HostConfig: { NetworkMode: NAME, VolumesFrom: [NAME] },
    });
    await second.start();
    return run(second, ['cat', '/data/file']);
  });
  await step('exec: the other by name', async () => (await run(second, ['ping', '-c', '1', '-W', '5', NAME]))[2]);
  await step('run: output', async () => {
    const out = new PassThrough();
    const outs = read(out);
    const options = { Labels: LABELS, HostConfig: { AutoRemove: true } };
    const [result] = await docker.run('busybox', ['sh', '-c', 'echo output; exit 5'], out, options);
    out.end();
    return [String(await outs), result.StatusCode];
  });
  await step('save and load', async () => {
    const data = await read(await docker.getImage(`${NAME}/built:1`).get());
    const stream = new PassThrough();
    stream.end(data);
    return (await progress(await docker.loadImage(stream, { quiet: true }))).stream;
  });
  await step('events', async () => {
    // An engine remembers the last 256 events only, so these are new.
    await container.rename({ name: `${NAME}-renamed` });
    await docker.getContainer(`${NAME}-renamed`).rename({ name: NAME });
    const until = Math.floor(Date.now() / 1000) + 1;
    const filters = { type: ['container'], container: [NAME], event: ['rename'] };
    const text = String(await read(await docker.getEvents({ since: started, until, filters })));
    return text.trim().split('\n').map((line) => JSON.parse(line).Action).slice(-2);
  });
  await step('look: two', states);
  await step('remove: a running one', () => container.remove());
  await step('volume remove: in use', () => docker.getVolume(NAME).remove());
  await step('kill', async () => { await second.kill(); });
  await step('wait', async () => (await second.wait()).StatusCode);
  await step('stop', async () => { await container.stop(); });
  await step('look: stopped', states);
  await step('remove', async () => { await container.remove({ v: true }); await second.remove(); });
  await step('remove: again', () => container.remove());
  await step('network remove', async () => { await docker.getNetwork(NAME).remove(); });
  await step('volume remove', async () => { await docker.getVolume(NAME).remove(); });
  for (const tag of [`${NAME}/built:1`, `${NAME}/tagged:2`, `${NAME}/committed:1`, `${IMAGE}/pulled:1`]) {
    await step(`image remove: ${tag}`, async () => { await docker.getImage(tag).remove(); });
  }
  await step('image remove: again', () => docker.getImage(`${NAME}/built:1`).remove());
  await step('look: nothing is left', states);

  const running = async () => {
    const tasks = await docker.listTasks({ filters: { service: [NAME], 'desired-state': ['running'] } });
    return tasks.filter((task) => task.Status.State === 'running').length;
  };
  const spec = (replicas, env) => ({
    Name: NAME, Labels: LABELS, Mode: { Replicated: { Replicas: replicas } }, EndpointSpec: { Mode: 'dnsrr' },
    TaskTemplate: {
      ContainerSpec: { Image: 'busybox', Command: ['sleep', '86400'], Labels: LABELS, Env: env, StopGracePeriod: 1e9 },
      Placement: { Constraints: ['node.role==manager'] },
    },
  });
  const update = async (replicas, env) => {
    const version = (await service().inspect()).Version.Index;
    await service().update({ version, ...spec(replicas, env) });
  };
  await step('service create', async () => { await docker.createService(spec(1, [])); });
  await step('service: one task', () => eventually(1, running));
  await step('service scale', () => update(2, []));
  await step('service: two tasks', () => eventually(2, running));
  await step('service update', () => update(2, ['A=b']));
  await step('service: updated', async () => (await service().inspect()).Spec.TaskTemplate.ContainerSpec.Env);
  await step('service remove', async () => { await service().remove(); });
  await step('service remove: again', () => service().remove());
  await step('service: no containers', () => eventually([], states));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
