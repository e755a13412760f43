package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// deliveryWorkers is the number of deliveries to webhooks that the simulator sends at once.
const deliveryWorkers = 16

// newSimulator makes the simulator that the options describe, with a clock.
func newSimulator(o SimulatorOptions, now func() time.Time) (*simulator.Server, error) {
	cfg := simulator.Config{Seed: o.Seed, Plan: o.Plan, Credits: o.Credits, Latency: o.Latency, Lateness: o.Lateness, Now: now}
	for _, text := range o.Faults {
		f, err := simulator.ParseFault(text)
		if err != nil {
			return nil, app.UsageErrorf("--fault %s: %v", text, err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	var err error
	cfg.CountDistinct = o.countDistinct
	cfg.DeliveryReplay, cfg.DeliveryWorkers = o.WebhookReplay, deliveryWorkers
	if o.V2Ends != "" {
		if cfg.V2Ends, err = parseDay("sim-v2-ends", o.V2Ends); err != nil {
			return nil, err
		}
	}
	if cfg.Switches, err = simulator.ParseSwitches(o.Switches); err != nil {
		return nil, app.UsageErrorf("--switch: %v", err)
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, app.UsageErrorf("%v", err)
	}
	return sim, nil
}

// serveLocal hosts a handler on a loopback port of the system's choosing until stop
// is called.
func serveLocal(ctx context.Context, h http.Handler) (url string, stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { // awaited by stop
		defer close(done)
		_ = s.Serve(l) // returns when stop closes it
	}()
	return "http://" + l.Addr().String(), func() {
		_ = s.Close()
		<-done
	}, nil
}

// openAPI gives the API, or an embedded simulator with its bill. The caller closes it.
func openAPI(ctx context.Context, env *app.Env, o app.APIOptions, sim SimulatorOptions) (at app.Endpoint, bill func() simulatorBill, err error) {
	if !o.Simulate && env.Rehearses() {
		at, err := app.OpenRehearsal(ctx, env, o)
		return at, nil, err
	}
	if !o.Simulate {
		key, err := app.APIKey(ctx, env, o)
		return app.Endpoint{BaseURL: o.BaseURL, Key: key, Close: func() {}}, nil, err
	}
	now := time.Now
	if env.Rehearses() {
		now = env.Now
	}
	server, err := newSimulator(sim, now)
	if err != nil {
		return app.Endpoint{}, nil, err
	}
	url, stop, err := serveLocal(ctx, server)
	if err != nil {
		return app.Endpoint{}, nil, err
	}
	return app.Endpoint{BaseURL: url, Key: app.SimulatedKey, Close: stop}, server.Bill, nil
}
