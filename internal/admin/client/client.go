// Package client speaks the HTTP API of a Dialtone server, over the Unix socket of the data directory or over HTTP.
//
// It owns requests, the error form of the API and paging. It does not own the shapes of the objects (package admin and
// its forms) or how they are shown. No goroutines; a Client may be used by several.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"dialtone/internal/admin"
)

// answerLimit bounds what is read of an answer that is not streamed.
const answerLimit = 64 << 20

// Client is one server.
type Client struct {
	http  *http.Client
	base  string
	token string
	place string // as people know the server
}

// ErrNoServer tells that nobody listens where the server should be.
var ErrNoServer = errors.New("no server")

// Local is the server that works on the data directory.
func Local(data string) *Client {
	path := filepath.Join(data, admin.SocketName)
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
	}
	return &Client{http: &http.Client{Transport: transport}, base: "http://dialtone", place: path}
}

// Remote is the server at an http or https URL; token may be empty.
func Remote(server, token string) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of a server such as https://pbx.example:8443", server)
	}
	base := strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), admin.Prefix)
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
	}
	return &Client{http: &http.Client{Transport: transport}, base: base, token: token, place: server}, nil
}

// Request is one question to the API.
type Request struct {
	Method string // GET when empty
	Path   string // below /api/v1: "/lines/101", escaped
	Query  url.Values
	Body   any    // encoded as JSON; []byte goes as it is
	Type   string // media type of the body when it is not JSON
	Match  string // If-Match
}

// Answer is what a server has to say.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do asks. What the server refuses is a *admin.Problem; when there is none, the error wraps ErrNoServer.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", c.place, err)
	}
	if len(body) > answerLimit {
		return nil, fmt.Errorf("the answer of %s is too long", c.place)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, refusal(response, body)
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}

// Decode asks and reads the JSON of the answer into v.
func (c *Client) Decode(ctx context.Context, r Request, v any) error {
	answer, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Body, v); err != nil {
		return fmt.Errorf("understand answer of %s: %w", c.place, err)
	}
	return nil
}

// refused reads why the server has refused, as far as it can be read; nil when it has not.
func refused(response *http.Response) error {
	if response.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // what could be read is all there is to say
	return refusal(response, body)
}

// Copy asks and writes the answer, however long, to w.
func (c *Client) Copy(ctx context.Context, r Request, w io.Writer) error {
	response, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := refused(response); err != nil {
		return err
	}
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("read answer of %s: %w", c.place, err)
	}
	return nil
}

// Each walks a list to its end, or until f returns an error.
func Each[T any](ctx context.Context, c *Client, path string, query url.Values, f func(T) error) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page admin.Page[T]
		if err := c.Decode(ctx, Request{Path: path, Query: q}, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := f(item); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Set("cursor", page.Next)
	}
}

// Events calls f with the JSON of each event until ctx ends or f returns an error.
func (c *Client) Events(ctx context.Context, query url.Values, f func(json.RawMessage) error) error {
	response, err := c.send(ctx, Request{Path: "/events", Query: query})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := refused(response); err != nil {
		return err
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := f(bytes.Clone(data)); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events of %s: %w", c.place, err)
	}
	return fmt.Errorf("%s ended the stream of events", c.place)
}

func (c *Client) send(ctx context.Context, r Request) (*http.Response, error) {
	var body io.Reader
	media := r.Type
	switch b := r.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
		body = bytes.NewReader(text)
		if media == "" {
			media = "application/json"
		}
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	target := c.base + admin.Prefix + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	if r.Match != "" {
		request.Header.Set("If-Match", r.Match)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err == nil {
		return response, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, fmt.Errorf("%w at %s", ErrNoServer, c.place)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which has the name that stands for the socket
	}
	return nil, fmt.Errorf("ask %s: %w", c.place, err)
}

// refusal is the Problem of an answer; servers in between may answer with something else.
func refusal(response *http.Response, body []byte) error {
	p := &admin.Problem{}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media == "application/problem+json" && json.Unmarshal(body, p) == nil && p.Code != "" {
		return p
	}
	return &admin.Problem{Status: response.StatusCode, Code: admin.CodeFailed, Detail: "the server answered " + response.Status}
}
