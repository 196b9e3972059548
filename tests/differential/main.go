// Reads requests with Go's own packages, as engines do, and answers how it read
// them. The test in filters/src/differential compares that with skep's reading.
//
// Each line of the input is one question, and each line of the output its answer,
// in the same order. Texts are base64: they may be any bytes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// question is one line of the input.
type question struct {
	// Kind says which of the fields below are given.
	Kind string
	// Text is what has to be read.
	Text []byte
	// Routes are the endpoints, each a method and a pattern of moby's router.
	Routes [][2]string
}

// read returns the answer to a question.
func read(routes *router, q question) any {
	switch q.Kind {
	case "routes":
		*routes = newRouter(q.Routes)
		return len(*routes)
	case "request":
		return readRequest(*routes, q.Text)
	case "body":
		return readBody(q.Text)
	case "mode":
		return readMode(string(q.Text))
	case "flags":
		return readFlags(string(q.Text))
	case "tmpfs":
		return readTmpfs(string(q.Text))
	default:
		return nil
	}
}

func run() error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	answers := json.NewEncoder(out)
	var routes router
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return err
		}
		if err := answers.Encode(read(&routes, q)); err != nil {
			return err
		}
		// The other side waits for the answers to all that it has sent.
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}
