package main

import (
	"bytes"
	"encoding/json"
	"io"
)

// create has fields of a request for a container, with the types of the API.
type create struct {
	Image      string
	User       string
	Env        []string
	Labels     map[string]string
	Volumes    map[string]struct{}
	HostConfig *hostConfig
}

type hostConfig struct {
	Binds          []string
	Links          []string
	Tmpfs          map[string]string
	Sysctls        map[string]string
	Privileged     bool
	PidMode        string
	NetworkMode    string
	ReadonlyRootfs bool
	CapAdd         []string
	SecurityOpt    []string
	Memory         int64
	NanoCpus       int64
	PidsLimit      *int64
	OomScoreAdj    int
	Mounts         []mount
}

type mount struct {
	Type          string
	Source        string
	Target        string
	ReadOnly      bool
	BindOptions   *bindOptions
	VolumeOptions *volumeOptions
}

type bindOptions struct {
	Propagation          string
	NonRecursive         bool
	ReadOnlyNonRecursive bool
}

type volumeOptions struct {
	DriverConfig *driver
	Labels       map[string]string
}

type driver struct {
	Name    string
	Options map[string]string
}

// body is a body as an engine reads it.
type body struct {
	Refused string
	Create  *create
}

func readBody(text []byte) body {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var read create
	if err := decoder.Decode(&read); err != nil {
		return body{Refused: err.Error()}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return body{Refused: "more than one document"}
	}
	return body{Create: &read}
}
