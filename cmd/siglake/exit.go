package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
)

// The exit codes, for short.
const (
	exitComplete    = app.ExitComplete
	exitRejects     = app.ExitRejects
	exitUnexplained = app.ExitUnexplained
	exitAfter       = app.ExitAfterPublish
	exitDeferred    = app.ExitDeferred
	exitInDoubt     = app.ExitInDoubt
	exitStale       = app.ExitStale
	exitDrift       = app.ExitDrift
	exitUndelivered = app.ExitUndelivered
	exitAuth        = app.ExitAuth
	exitStorage     = app.ExitStorage
	exitLocked      = app.ExitLocked
	exitIntegrity   = app.ExitIntegrity
	exitUsage       = app.ExitUsage
	exitKilled      = app.ExitKilled
)

// exitStatus is the exit code of a command that has printed all there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// isCompleteCode reports whether everything that the list asks for is answered, and paid.
func isCompleteCode(code int) bool {
	return code == exitComplete || code == exitRejects || code == exitUnexplained
}

// statusOf is the error of a command that has printed all there is to say; nil when
// it is complete.
func statusOf(code int) error {
	if code == exitComplete {
		return nil
	}
	return exitStatus(code)
}

// kindCodes are the exit codes of errors that have a kind.
var kindCodes = map[app.Kind]int{
	app.KindUsage: exitUsage, app.KindAuth: exitAuth, app.KindStorage: exitStorage, app.KindLocked: exitLocked, app.KindIntegrity: exitIntegrity, app.KindDeferred: exitDeferred,
	app.KindStale: exitStale, app.KindDrift: exitDrift,
}

// exitCode maps an error to the exit code, and gives what there is to print of it;
// nil when everything is printed.
func exitCode(err error) (code int, message error) {
	var status exitStatus
	var typed *app.Error
	switch {
	case errors.As(err, &status):
		return int(status), nil
	case errors.As(err, &typed):
		return kindCodes[typed.Kind], typed.Err
	}
	return causeCode(err), err
}

// withOutput adds to the end of a command that a part of what it printed could not be written. Commands print
// without looking at errors.
func withOutput(stdout io.Writer, code int, message error) (int, error) {
	guard, ok := stdout.(*format.Writer)
	if !ok {
		return code, message
	}
	switch failed := guard.Err(); {
	case failed == nil || errors.Is(message, failed):
		return code, message
	case message == nil:
		message = fmt.Errorf("standard output is incomplete: %w", failed)
	default:
		message = fmt.Errorf("%w; and standard output is incomplete: %w", message, failed)
	}
	return max(code, exitStorage), message
}

// causeCode maps an error without a kind by its cause.
func causeCode(err error) int {
	var stop *pipeline.Stop
	var refusal *lusha.RefusalError
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.Is(err, context.Canceled):
		return exitDeferred
	case errors.As(err, &refusal):
		return refusalCode(refusal.Class)
	case errors.As(err, &stop):
		return app.StopExit(stop.Kind)
	case errors.As(err, &path), errors.As(err, &link), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO):
		return exitStorage
	default:
		return exitUsage
	}
}

// refusalCode is the exit code when the API refused a free question, before
// anything was asked that costs.
func refusalCode(class lusha.Class) int {
	switch class {
	case lusha.ClassCredits, lusha.ClassRateBurst, lusha.ClassRateHour, lusha.ClassRateDay, lusha.ClassServer, lusha.ClassTimedOut,
		lusha.ClassProxy, lusha.ClassUnsent, lusha.ClassLost:
		return exitDeferred
	default:
		return exitAuth
	}
}
