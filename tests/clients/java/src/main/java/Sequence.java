import com.github.dockerjava.api.DockerClient;
import com.github.dockerjava.api.async.ResultCallback;
import com.github.dockerjava.api.command.BuildImageResultCallback;
import com.github.dockerjava.api.command.PullImageResultCallback;
import com.github.dockerjava.api.command.WaitContainerResultCallback;
import com.github.dockerjava.api.exception.DockerException;
import com.github.dockerjava.api.model.Bind;
import com.github.dockerjava.api.model.Frame;
import com.github.dockerjava.api.model.HostConfig;
import com.github.dockerjava.core.DefaultDockerClientConfig;
import com.github.dockerjava.core.DockerClientImpl;
import com.github.dockerjava.zerodep.ZerodepDockerHttpClient;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** The life of containers in docker-java's words. DOCKER_HOST is the engine or the agent, SEQUENCE the name of all. */
public final class Sequence {
    private static final String NAME = System.getenv("SEQUENCE");
    private static final String IMAGE = "127.0.0.1:5000/" + NAME + "/base";
    private static final Map<String, String> LABELS = Map.of("sequence", NAME);

    private static String plain(Object value) {
        return String.valueOf(value).replaceAll("(sha256:)?\\b[0-9a-f]{12,64}\\b", "ID").replaceAll("\\s+", " ");
    }

    private static void step(String name, Callable<Object> action) {
        String outcome;
        try {
            outcome = "0\t" + plain(action.call());
        } catch (DockerException error) {
            outcome = error.getHttpStatus() + "\t" + plain(error.getMessage());
        } catch (Exception error) {
            outcome = error.getClass().getSimpleName() + "\t" + plain(error.getMessage());
        }
        System.out.println(name + "\t" + outcome);
    }

    private static final class Output extends ResultCallback.Adapter<Frame> {
        private final StringBuilder text = new StringBuilder();

        @Override
        public void onNext(Frame frame) {
            text.append(new String(frame.getPayload()));
        }

        private String whole() throws InterruptedException {
            awaitCompletion(30, TimeUnit.SECONDS);
            return text.toString();
        }
    }

    public static void main(String[] arguments) throws Exception {
        var config = DefaultDockerClientConfig.createDefaultConfigBuilder().build();
        var transport = new ZerodepDockerHttpClient.Builder().dockerHost(config.getDockerHost()).build();
        DockerClient docker = DockerClientImpl.getInstance(config, transport);
        Callable<Object> states = () -> docker.listContainersCmd().withShowAll(true).withLabelFilter(LABELS).exec().stream()
            .map(one -> one.getNames()[0] + " " + one.getState()).sorted().toList();
        step("ping", () -> docker.pingCmd().exec());
        step("version", () -> docker.versionCmd().exec().getOperatingSystem());
        step("look: nothing", states);
        step("look: no container", () -> docker.inspectContainerCmd(NAME).exec());
        step("look: no image", () -> docker.inspectImageCmd(IMAGE + ":1").exec());
        step("create: no image", () -> docker.createContainerCmd(IMAGE + ":1").withName(NAME).exec());
        step("pull", () -> docker.pullImageCmd(IMAGE).withTag("1").exec(new PullImageResultCallback()).awaitCompletion(60, TimeUnit.SECONDS));
        step("pull: no such tag", () -> docker.pullImageCmd(IMAGE).withTag("none").exec(new PullImageResultCallback()).awaitCompletion());
        step("build", () -> {
            File folder = Files.createTempDirectory("sequence").toFile();
            Files.writeString(Path.of(folder.getPath(), "Dockerfile"), "FROM busybox\nRUN echo built >/word\n");
            var build = docker.buildImageCmd(folder).withTags(Set.of(NAME + "/built:1")).withLabels(LABELS);
            return build.exec(new BuildImageResultCallback()).awaitImageId() != null;
        });
        step("network create", () -> docker.createNetworkCmd().withName(NAME).withLabels(LABELS).exec().getId() != null);
        step("volume create", () -> docker.createVolumeCmd().withName(NAME).withLabels(LABELS).exec().getName());
        step("create", () -> docker.createContainerCmd(NAME + "/built:1").withName(NAME).withLabels(LABELS)
            .withCmd("sh", "-c", "echo ready; exec sleep 86400").withStopSignal("KILL").withEnv("GREETING=hello")
            .withHostConfig(HostConfig.newHostConfig().withNetworkMode(NAME).withBinds(Bind.parse(NAME + ":/data")))
            .exec().getId() != null);
        step("create: again", () -> docker.createContainerCmd(NAME + "/built:1").withName(NAME).exec());
        step("start", () -> docker.startContainerCmd(NAME).exec());
        step("start: again", () -> docker.startContainerCmd(NAME).exec());
        step("look: running", states);
        step("inspect", () -> docker.inspectContainerCmd(NAME).exec().getState().getStatus());
        step("exec", () -> {
            var made = docker.execCreateCmd(NAME).withCmd("sh", "-c", "cat /word; echo $GREETING; exit 3")
                .withAttachStdout(true).withAttachStderr(true).exec();
            String output = docker.execStartCmd(made.getId()).exec(new Output()).whole();
            return output + docker.inspectExecCmd(made.getId()).exec().getExitCodeLong();
        });
        step("logs", () -> docker.logContainerCmd(NAME).withStdOut(true).exec(new Output()).whole());
        step("top", () -> docker.topContainerCmd(NAME).exec().getProcesses().length);
        step("copy: in", () -> {
            Path file = Files.createTempDirectory("sequence").resolve("copied");
            Files.writeString(file, "bytes");
            return docker.copyArchiveToContainerCmd(NAME).withHostResource(file.toString()).withRemotePath("/").exec();
        });
        step("copy: out", () -> {
            try (var stream = docker.copyArchiveFromContainerCmd(NAME, "/copied").exec()) {
                return new String(stream.readAllBytes()).contains("bytes");
            }
        });
        step("rename", () -> docker.renameContainerCmd(NAME).withName(NAME + "-renamed").exec());
        step("rename: back", () -> docker.renameContainerCmd(NAME + "-renamed").withName(NAME).exec());
        step("pause", () -> docker.pauseContainerCmd(NAME).exec());
        step("unpause", () -> docker.unpauseContainerCmd(NAME).exec());
        step("restart", () -> docker.restartContainerCmd(NAME).exec());
        step("commit", () -> docker.commitCmd(NAME).withRepository(NAME + "/committed").withTag("1").exec() != null);
        step("tag", () -> docker.tagImageCmd(NAME + "/built:1", NAME + "/tagged", "2").exec());
        step("images", () -> docker.listImagesCmd().withLabelFilter(LABELS).exec().stream()
            .flatMap(image -> List.of(image.getRepoTags()).stream()).sorted().toList());
        step("remove: a running one", () -> docker.removeContainerCmd(NAME).exec());
        step("stop", () -> docker.stopContainerCmd(NAME).exec());
        step("wait", () -> docker.waitContainerCmd(NAME).exec(new WaitContainerResultCallback()).awaitStatusCode());
        step("remove", () -> docker.removeContainerCmd(NAME).withRemoveVolumes(true).exec());
        step("remove: again", () -> docker.removeContainerCmd(NAME).exec());
        step("network remove", () -> docker.removeNetworkCmd(NAME).exec());
        step("volume remove", () -> docker.removeVolumeCmd(NAME).exec());
        for (String tag : List.of(NAME + "/built:1", NAME + "/tagged:2", NAME + "/committed:1", IMAGE + ":1")) {
            step("image remove: " + tag, () -> docker.removeImageCmd(tag).exec());
        }
        step("look: nothing is left", states);
        docker.close();
        System.exit(0);
    }
}
