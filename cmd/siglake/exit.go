package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
)

// The exit codes. A scheduler can tell by them what to do next.
const (
	exitComplete = 0  // everything asked and answered
	exitRejects  = 10 // complete, but some lines could not be asked about
	// Complete, but charged more than the returned events explain.
	exitUnexplained = 12
	exitDeferred    = 20 // part was not asked; run again to continue
	exitInDoubt     = 21 // some calls may or may not have been charged; a person should look. Part may be left as with 20
	exitAuth        = 30 // key, account or plan
	exitStorage     = 40 // disk or lake
	exitLocked      = 50 // another run is at work on the lake
	exitIntegrity   = 60 // the lake contradicts itself
	exitUsage       = 64 // flags or an unreadable list
	exitKilled      = 130
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
		return stopCode(stop.Kind)
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

func stopCode(kind pipeline.StopKind) int {
	switch kind {
	case pipeline.StopAuth:
		return exitAuth
	case pipeline.StopRequest, pipeline.StopInput:
		return exitUsage
	case pipeline.StopStorage:
		return exitStorage
	case pipeline.StopUnstable:
		return exitInDoubt
	default:
		return exitDeferred
	}
}

// manifestCode is the exit code of a run that published: the gravest of what it
// left and of why it stopped. A full disk is no less full because calls are in
// doubt as well.
func manifestCode(m *pipeline.Manifest) int {
	code := outcomeCode(m.Run.Outcome)
	if m.Credits.Excess > 0 {
		code = max(code, exitUnexplained)
	}
	if s := m.Run.Stop; s != nil && s.Kind != pipeline.StopUnstable { // of which the outcome says what it left
		code = max(code, stopCode(s.Kind))
	}
	return code
}

func outcomeCode(o pipeline.RunOutcome) int {
	switch o {
	case pipeline.RunComplete:
		return exitComplete
	case pipeline.RunWithRejects:
		return exitRejects
	case pipeline.RunInDoubt:
		return exitInDoubt
	case pipeline.RunRefused:
		return exitAuth
	default:
		return exitDeferred
	}
}
