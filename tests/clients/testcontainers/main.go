// The life of a test's containers in testcontainers-go's words, without its reaper. DOCKER_HOST is the engine or the
// agent, SEQUENCE the name of everything that is made. Prints one line for each step: its name and what came of it.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

var (
	ids    = regexp.MustCompile(`(sha256:)?\b[0-9a-f]{12,64}\b`)
	spaces = regexp.MustCompile(`\s+`)
)

func plain(value any) string {
	return spaces.ReplaceAllString(ids.ReplaceAllString(fmt.Sprint(value), "ID"), " ")
}

func step(name string, action func() (any, error)) {
	value, err := action()
	if err != nil {
		fmt.Printf("%s\terror\t%s\n", name, plain(err))
		return
	}
	fmt.Printf("%s\t0\t%s\n", name, plain(value))
}

func main() {
	ctx := context.Background()
	name := os.Getenv("SEQUENCE")
	image := "127.0.0.1:5000/" + name + "/base:1"
	var one, two testcontainers.Container
	var net *testcontainers.DockerNetwork
	start := func(request testcontainers.ContainerRequest) (testcontainers.Container, error) {
		return testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
			ContainerRequest: request, Started: true,
		})
	}
	run := func(container testcontainers.Container, words ...string) (any, error) {
		code, reader, err := container.Exec(ctx, words, exec.Multiplexed())
		if err != nil {
			return nil, err
		}
		output, err := io.ReadAll(reader)
		return fmt.Sprint(code, " ", string(output)), err
	}
	need := func() error {
		if one == nil {
			return errors.New("there is no container")
		}
		return nil
	}

	step("network", func() (any, error) {
		made, err := network.New(ctx, network.WithLabels(map[string]string{"sequence": name}))
		net = made
		return made != nil, err
	})
	step("start: pull, create, copy, start, wait for its log", func() (any, error) {
		made, err := start(testcontainers.ContainerRequest{
			Image: image, Name: name, Networks: []string{net.Name}, ExposedPorts: []string{"80/tcp"},
			NetworkAliases: map[string][]string{net.Name: {"one"}},
			Env:            map[string]string{"GREETING": "hello"}, Labels: map[string]string{"sequence": name},
			Cmd: []string{"sh", "-c", "trap 'exit 0' TERM; cat /file; mkdir /www; echo page >/www/index.html; httpd -h /www; echo ready; while :; do sleep 0.1; done"},
			Files: []testcontainers.ContainerFile{{
				Reader: strings.NewReader("copied\n"), ContainerFilePath: "/file", FileMode: 0o644,
			}},
			WaitingFor: wait.ForLog("ready").WithStartupTimeout(30 * time.Second),
		})
		one = made
		return made != nil, err
	})
	step("start: no such image", func() (any, error) {
		_, err := start(testcontainers.ContainerRequest{Image: "127.0.0.1:5000/" + name + "/base:none"})
		return "started", err
	})
	if err := need(); err != nil {
		fmt.Println("one\terror\t", err)
		os.Exit(1)
	}
	step("name", func() (any, error) { return one.Name(ctx) })
	step("state", func() (any, error) {
		state, err := one.State(ctx)
		if err != nil {
			return nil, err
		}
		return state.Status, nil
	})
	step("networks", func() (any, error) { found, err := one.Networks(ctx); return len(found), err })
	step("aliases", func() (any, error) {
		found, err := one.NetworkAliases(ctx)
		if err != nil {
			return nil, err
		}
		return strings.Contains(fmt.Sprint(found), "one"), nil
	})
	step("mapped port", func() (any, error) { port, err := one.MappedPort(ctx, "80/tcp"); return fmt.Sprint(port) != "", err })
	step("exec", func() (any, error) { return run(one, "sh", "-c", "cat /file; echo $GREETING; exit 3") })
	step("copy: in", func() (any, error) {
		return "copied", one.CopyToContainer(ctx, []byte("bytes"), "/tmp/copied", 0o600)
	})
	step("copy: out", func() (any, error) {
		reader, err := one.CopyFileFromContainer(ctx, "/tmp/copied")
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		return string(content), err
	})
	step("copy: no such file", func() (any, error) { _, err := one.CopyFileFromContainer(ctx, "/none"); return nil, err })
	step("logs", func() (any, error) {
		reader, err := one.Logs(ctx)
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		return string(content), err
	})
	step("start: a second one in the network, that waits for an exec", func() (any, error) {
		made, err := start(testcontainers.ContainerRequest{
			Image: image, Networks: []string{net.Name}, Labels: map[string]string{"sequence": name},
			Cmd:        []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"},
			WaitingFor: wait.ForExec([]string{"wget", "-q", "-O", "-", "http://one/"}).WithStartupTimeout(30 * time.Second),
		})
		two = made
		return made != nil, err
	})
	if two != nil {
		step("exec: the first by its alias", func() (any, error) { return run(two, "wget", "-q", "-O", "-", "http://one/") })
	}
	step("build", func() (any, error) {
		made, err := start(testcontainers.ContainerRequest{
			FromDockerfile: testcontainers.FromDockerfile{
				ContextArchive: buildContext(), Repo: name + "/built", Tag: "1", KeepImage: false,
			},
			Labels: map[string]string{"sequence": name}, WaitingFor: wait.ForExit().WithExitTimeout(30 * time.Second),
		})
		if err != nil {
			return nil, err
		}
		reader, err := made.Logs(ctx)
		if err != nil {
			return nil, err
		}
		content, _ := io.ReadAll(reader)
		return string(content), made.Terminate(ctx)
	})
	step("stop", func() (any, error) { timeout := time.Second; return "stopped", one.Stop(ctx, &timeout) })
	step("start: again", func() (any, error) { return "started", one.Start(ctx) })
	step("reuse by name", func() (any, error) {
		made, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
			ContainerRequest: testcontainers.ContainerRequest{Image: image, Name: name}, Started: true, Reuse: true,
		})
		if err != nil {
			return nil, err
		}
		return made.GetContainerID() == one.GetContainerID(), nil
	})
	if two != nil {
		step("terminate: the second", func() (any, error) { return "ended", two.Terminate(ctx) })
	}
	step("terminate", func() (any, error) { return "ended", one.Terminate(ctx) })
	step("state: it is gone", func() (any, error) { _, err := one.State(ctx); return nil, err })
	step("network: remove", func() (any, error) { return "removed", net.Remove(ctx) })
}

func buildContext() io.ReadSeeker {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	file := []byte("FROM busybox\nRUN echo built >/word\nCMD [\"cat\", \"/word\"]\n")
	_ = archive.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(file))})
	_, _ = archive.Write(file)
	_ = archive.Close()
	return bytes.NewReader(buffer.Bytes())
}
