package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"dialtone/internal/codec"
	"dialtone/internal/media/wav"
	"dialtone/internal/network"
	"dialtone/internal/sip/transport"
	"dialtone/internal/softphone"
)

// playRate is the sampling rate at which a file is played, in Hz; a narrow codec is given half of it.
const playRate = 16000

// longestPlay bounds a file that is played, in samples: an hour.
const longestPlay = 3600 * playRate

// phone runs a headless phone.
func phone(ctx context.Context, o phoneOptions, sys system) (err error) {
	task := softphone.Task{Call: o.Call, Answer: o.Answer, Wait: o.Wait, ExpectTone: o.ExpectTone,
		Talk: softphone.Talk{Duration: o.Duration, Press: o.DTMF, Rate: playRate}}
	if err := task.Check(); err != nil {
		return usage("%v", err)
	}
	if task.Talk.PCM, err = played(o.Play); err != nil {
		return err
	}
	roots, err := authority(o.CA)
	if err != nil {
		return err
	}
	if o.Record != "" {
		file, err := os.Create(o.Record)
		if err != nil {
			return fmt.Errorf("--record: %w", err)
		}
		defer file.Close() //nolint:errcheck // every Flush has written it
		task.Talk.Record = &tape{file: file}
	}
	user, domain := account(o)
	say := reporter(o, sys)
	p, err := softphone.New(softphone.Config{
		Network: network.NewOS(network.OSConfig{}), Server: o.Server, Transport: transport.ParseKind(o.Transport),
		User: user, Domain: domain, Password: o.Password, RootCAs: roots, Insecure: o.Insecure, Codecs: o.Codec,
		SRTP:   softphone.SRTP(strings.TrimPrefix(o.SRTP, "auto")),
		Events: func(e softphone.Event) { say(e) },
	})
	if err != nil {
		return usage("%v", err)
	}
	result, err := p.Run(ctx, task)
	if err != nil && !o.JSON {
		return err
	}
	if err != nil {
		result.Cause = err.Error()
	}
	say(result)
	if !result.OK {
		return errSilent
	}
	return nil
}

// tape is a recording whose sampling rate is known when the call is answered.
type tape struct {
	file   io.WriteSeeker
	writer *wav.Writer
}

// Begin implements softphone.RatedRecorder.
func (t *tape) Begin(rate int) (err error) {
	t.writer, err = wav.NewWriter(t.file, rate)
	return err
}

// Write implements softphone.Recorder.
func (t *tape) Write(pcm []int16) error {
	if t.writer == nil {
		return nil
	}
	return t.writer.Write(pcm)
}

// Flush implements softphone.Recorder. A call that was never answered leaves an empty recording.
func (t *tape) Flush() error {
	if t.writer == nil {
		if err := t.Begin(codec.Rate); err != nil {
			return err
		}
	}
	return t.writer.Flush()
}

// account is who the phone is: the domain says in which tenant. "sara@pbx.example" is written by those who copy an
// address; a username with an @ of its own needs --domain.
func account(o phoneOptions) (user, domain string) {
	if at := strings.LastIndexByte(o.User, '@'); at > 0 && o.Domain == "" {
		return o.User[:at], o.User[at+1:]
	}
	return o.User, o.Domain
}

// played reads the file to be played; nil is the tone.
func played(path string) ([]int16, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--play: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	pcm, err := wav.LoadAt(file, playRate, longestPlay)
	if err != nil {
		return nil, fmt.Errorf("--play %s: %w", path, err)
	}
	return pcm, nil
}

// authority reads the certificates that the server's is verified with; nil are those of the system.
func authority(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("--ca: no certificate in " + path)
	}
	return roots, nil
}

// reporter prints events and the result, from any goroutine.
func reporter(o phoneOptions, sys system) func(any) {
	var mu sync.Mutex
	encoder := json.NewEncoder(sys.stdout)
	return func(what any) {
		mu.Lock()
		defer mu.Unlock()
		if o.JSON {
			_ = encoder.Encode(what) // nobody is left to be told that the output is closed
			return
		}
		switch what := what.(type) {
		case softphone.Event:
			fmt.Fprintln(sys.stdout, what)
		case softphone.Result:
			fmt.Fprintln(sys.stdout, what)
		}
	}
}
