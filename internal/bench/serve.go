package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/bench/answers"
)

// serveCommand is the argument with which the bench starts itself as the server of answers.
const serveCommand = "serve"

// served is what the server says about itself, as a line of JSON, when it is ready.
type served struct {
	URL    string
	Events int64
	Bytes  int64
}

// serve serves answers on the loopback until its input ends.
func serve(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	var c answers.Config
	flags.IntVar(&c.Companies, "companies", 0, "number of companies")
	flags.IntVar(&c.Heavy, "heavy", 0, "number of companies that are rendered with the most events; 0: all as drawn")
	list := flags.String("list", "", "`FILE` for the list of the companies")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := answers.New(c)
	if err != nil {
		return err
	}
	if err := writeList(*list, s); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { // ends with the input, and the server with it
		_, _ = io.Copy(io.Discard, in)
		_ = server.Close()
	}()
	if err := json.NewEncoder(out).Encode(served{"http://" + l.Addr().String(), s.Events(), s.Bytes()}); err != nil {
		return err
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func writeList(path string, s *answers.Server) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(s.WriteList(f), f.Close())
}

// startServer starts the server as a process of its own. stop ends it.
func startServer(ctx context.Context, companies, heavy int, list string) (s served, stop func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return s, nil, err
	}
	args := []string{serveCommand, "-list", list, "-companies", strconv.Itoa(companies), "-heavy", strconv.Itoa(heavy)}
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the program itself
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return s, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, nil, err
	}
	if err := cmd.Start(); err != nil {
		return s, nil, err
	}
	stop = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		return s, nil, errors.Join(fmt.Errorf("the server of answers: %w", err), stop())
	}
	return s, stop, nil
}
