package main

import (
	"bufio"
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// request is a request as an engine reads it.
type request struct {
	// Refused says why there is no such request.
	Refused string
	Method  string
	// Path is decoded.
	Path []byte
	// Redirect says that the router answers with a cleaned path.
	Redirect bool
	// Matches are the routes that serve it.
	Matches []match
	// Query has the parameters of the URL, Form those that handlers see.
	Query []pair
	Form  []pair
	// Media is the media type of the body; empty if there is none.
	Media []byte
}

// match is a route with the variables of its pattern.
type match struct {
	// Route is the index of the pattern.
	Route int
	// Version is empty without one in the path.
	Version string
	// Object is the first variable of the pattern.
	Object []byte
}

// pair is a parameter with its values in their order.
type pair struct {
	Name   []byte
	Values [][]byte
}

func readRequest(routes router, text []byte) request {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return request{Refused: err.Error()}
	}
	read := request{
		Method:   r.Method,
		Path:     []byte(r.URL.Path),
		Redirect: cleaned(r.URL.Path) != r.URL.Path,
		Matches:  routes.find(r.Method, r.URL.Path),
		Query:    pairs(r.URL.Query()),
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	read.Media = []byte(media)
	// Handlers that take uploads call the first, all others the second; and what
	// fails after the query was read leaves its parameters.
	_ = r.ParseMultipartForm(1 << 20)
	_ = r.ParseForm()
	read.Form = pairs(r.Form)
	return read
}

func pairs(values url.Values) []pair {
	all := []pair{}
	for name, values := range values {
		each := [][]byte{}
		for _, value := range values {
			each = append(each, []byte(value))
		}
		all = append(all, pair{Name: []byte(name), Values: each})
	}
	return all
}

// cleaned returns the path to which the router redirects; a slash at the end stays.
func cleaned(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// route is one endpoint, with and without a version before it.
type route struct {
	method    string
	versioned *regexp.Regexp
	plain     *regexp.Regexp
}

type router []route

func newRouter(patterns [][2]string) router {
	var routes router
	for _, pattern := range patterns {
		expression := compiled(pattern[1])
		routes = append(routes, route{
			method:    pattern[0],
			versioned: regexp.MustCompile("^/v(?P<version>[0-9.]+)" + expression + "$"),
			plain:     regexp.MustCompile("^" + expression + "$"),
		})
	}
	return routes
}

// compiled turns a pattern such as "/images/{name:.*}/json" into an expression.
func compiled(pattern string) string {
	expression := ""
	for pattern != "" {
		open := strings.IndexByte(pattern, '{')
		if open < 0 {
			return expression + regexp.QuoteMeta(pattern)
		}
		end := open + strings.IndexByte(pattern[open:], '}')
		name := pattern[open+1 : end]
		inner := "[^/]+"
		if colon := strings.IndexByte(name, ':'); colon >= 0 {
			inner = name[colon+1:]
		}
		expression += regexp.QuoteMeta(pattern[:open]) + "(" + inner + ")"
		pattern = pattern[end+1:]
	}
	return expression
}

func (routes router) find(method, path string) []match {
	matches := []match{}
	for i, route := range routes {
		if route.method != method && (route.method != "*" || method == "OPTIONS") {
			continue
		}
		if found := route.versioned.FindStringSubmatch(path); found != nil {
			matches = append(matches, match{Route: i, Version: found[1], Object: first(found[2:])})
		} else if found := route.plain.FindStringSubmatch(path); found != nil {
			matches = append(matches, match{Route: i, Object: first(found[1:])})
		}
	}
	return matches
}

func first(found []string) []byte {
	if len(found) == 0 {
		return nil
	}
	return []byte(found[0])
}
