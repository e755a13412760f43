package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/simulator"
)

// simulatorBill is the simulator's own account of what it charged.
type simulatorBill = simulator.Bill

func simulateCommand() *cli.Command {
	sim, out := defaultSimulator(), defaultOutput()
	listen, today, listFaults, listSwitches := "127.0.0.1:8080", "", false, false
	return &cli.Command{
		Name:  "simulate",
		Usage: "serve the simulated API, with its own bill, on a local address",
		Description: "Point a run at it:\n" +
			"  siglake simulate --listen 127.0.0.1:8080 &\n" +
			"  " + app.KeyVariable + "=any siglake run LIST --lake DIR --signals news --base-url http://127.0.0.1:8080\n" +
			"With --today the simulated world stands on another day; then runs need --as-of with the same day.\n" +
			"Its bill is at /_simulator/bill; Ctrl-C stops the server and prints the bill.\n" +
			"Subscriptions to webhooks get deliveries while the server runs; --webhook-replay sends past events, too.",
		Flags: joinFlags(
			[]cli.Flag{
				&cli.StringFlag{Name: "listen", Value: listen, Destination: &listen, EnvVars: []string{"SIGLAKE_LISTEN"}, Usage: "`ADDRESS` to serve on; port 0 picks a free port"},
				&cli.StringFlag{Name: "today", Destination: &today, EnvVars: []string{"SIGLAKE_TODAY"}, Usage: "`DATE` of the simulated world, in its answers and in their Date headers; it does not advance at midnight"},
				&cli.DurationFlag{Name: "webhook-replay", Destination: &sim.WebhookReplay, EnvVars: []string{"SIGLAKE_WEBHOOK_REPLAY"}, Category: "Simulator",
					Usage: "a new subscription to webhooks also gets the events that became visible in this `TIME` before it, such as 720h, within its first minute"},
				&cli.BoolFlag{Name: "list-faults", Destination: &listFaults, Usage: "list the kinds of faults and exit", EnvVars: []string{"SIGLAKE_LIST_FAULTS"}},
				&cli.BoolFlag{Name: "list-switches", Destination: &listSwitches, Usage: "list the switches and exit", EnvVars: []string{"SIGLAKE_LIST_SWITCHES"}},
			},
			simulatorFlags(&sim), outputFlags(&out),
		),
		Action: func(c *cli.Context) error {
			switch {
			case c.NArg() > 0:
				return app.UsageErrorf("simulate takes no arguments, got %q", c.Args().First())
			case listFaults:
				return printFaults(c.App.Writer)
			case listSwitches:
				return printSwitches(c.App.Writer)
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			now := env.Now
			if today != "" {
				day, err := parseDay("today", today)
				if err != nil {
					return err
				}
				now = onDay(day, env.Now)
			}
			return serveSimulator(c.Context, env.Stdout, listen, sim, now)
		},
	}
}

// onDay is a clock that shows always the same day, and the time of day of another clock.
func onDay(day time.Time, clock func() time.Time) func() time.Time {
	return func() time.Time {
		now := clock().UTC()
		return day.Add(now.Sub(now.Truncate(24 * time.Hour)))
	}
}

// serveSimulator serves the simulated API until ctx ends, and prints its bill.
func serveSimulator(ctx context.Context, w io.Writer, listen string, o SimulatorOptions, now func() time.Time) error {
	sim, err := newSimulator(o, now)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return app.UsageErrorf("--listen: %v", err)
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	format.Fprintf(w, "simulator listening on http://%s\n", l.Addr())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }() // ends with Shutdown or Close below
	stopPushing := startPushing(ctx, sim)
	defer stopPushing()
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}
	// The command's own context is over; answers on the wire get a moment to finish.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close()
	}
	if err = <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	stopPushing()
	b := sim.Bill()
	format.Fprintf(w, "bill: %s over %s; %s charged and not delivered\n",
		format.Count(b.Credits, "credit"), format.Count(b.Requests, "request"), format.Count(b.Undelivered, "credit"))
	printDeliveries(w, sim)
	return nil
}

// startPushing delivers to webhooks until ctx ends or the returned function is called, which waits for the
// last delivery.
func startPushing(ctx context.Context, sim *simulator.Server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // awaited by stop
		defer close(done)
		sim.Push(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// printDeliveries sums up the deliveries to webhooks, if there were any.
func printDeliveries(w io.Writer, sim *simulator.Server) {
	states := map[simulator.DeliveryState]int{}
	for _, d := range sim.Deliveries() {
		states[d.State]++
	}
	if len(states) > 0 {
		format.Fprintf(w, "webhooks: %s acknowledged, %d pending, %d lost, %d missed, %d unpaid\n",
			format.Count(states[simulator.DeliveryAcknowledged], "delivery"), states[simulator.DeliveryPending], states[simulator.DeliveryLost],
			states[simulator.DeliveryMissed], states[simulator.DeliveryUnpaid])
	}
}

func printFaults(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "KIND\tBILLED\tDELIVERED\tWHAT HAPPENS\n")
	for _, k := range simulator.FaultKinds() {
		format.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, yesNo(k.Billed), yesNo(k.Delivered), k.Doc)
	}
	return w.Flush()
}

func printSwitches(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "SWITCH\tVALUES (first is the default)\tOPEN QUESTION\n")
	for _, s := range simulator.SwitchDocs() {
		format.Fprintf(w, "%s\t%s\t%s\n", s.Name, strings.Join(s.Values, " "), s.Doc)
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
