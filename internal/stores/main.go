// Command stores serves an S3 store on loopback, for tests:
//
//	stores versitygw DIR    versitygw over the files of DIR, an absolute path
//	stores gofakes3         gofakes3 in memory
//
// It prints the store's address as its first line when it accepts requests. It ends when its
// standard input does, so that no store outlives the test that started it, even if the test is
// killed. Credentials and the initial bucket come from the environment.
//
// It is a module of its own because versitygw has a hundred dependencies, none of which siglake may
// come to depend on.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// out receives the address; the output of the stores goes to standard error.
var out = os.Stdout

func main() {
	os.Stdout = os.Stderr
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with standard input, or with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
		time.Sleep(2 * time.Second) // for requests on the wire
		os.Exit(0)
	}()
	var err error
	switch bucket := os.Getenv("STORE_BUCKET"); {
	case len(os.Args) == 3 && os.Args[1] == "versitygw":
		err = versitygw(ctx, os.Args[2], bucket)
	case len(os.Args) == 2 && os.Args[1] == "gofakes3":
		err = fake(ctx, bucket)
	default:
		err = fmt.Errorf("usage: stores versitygw DIR | stores gofakes3")
	}
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// versitygw serves until the context ends. It does not accept a listener, so versitygw first finds
// a free port, and tries another if the port is taken in the meantime.
func versitygw(ctx context.Context, dir, bucket string) (err error) {
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o755); err != nil {
		return err
	}
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return fmt.Errorf("%s cannot hold the store's metadata: %w", dir, err)
	}
	be, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{Concurrency: 1000})
	if err != nil {
		return err
	}
	for range 5 {
		l, err := listen(ctx)
		if err != nil {
			return err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
		listening := false
		err = embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess: os.Getenv("AWS_ACCESS_KEY_ID"), RootUserSecret: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			Ports: []string{address}, MaxConnections: 4096, MaxRequests: 4096, MultipartMaxParts: 10000, Quiet: true, KeepAlive: true,
			// Bucket addresses as on AWS, for tests that reach the store by AWS host names.
			VirtualDomain: "s3.us-east-1.amazonaws.com",
			S3Options:     []s3api.Option{s3api.WithOnListen(func() { listening = true; fmt.Fprintln(out, "http://"+address) })},
		})
		if err == nil || listening || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func fake(ctx context.Context, bucket string) error {
	l, err := listen(ctx)
	if err != nil {
		return err
	}
	be := s3mem.New()
	if err := be.CreateBucket(bucket); err != nil {
		return err
	}
	fmt.Fprintln(out, "http://"+l.Addr().String())
	server := &http.Server{Handler: gofakes3.New(be).Server(), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}

func listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}
