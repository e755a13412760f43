package app

import "github.com/siglake/siglake/pipeline"

// The exit codes. A scheduler can tell by them what to do next.
const (
	ExitComplete = 0  // everything asked and answered
	ExitRejects  = 10 // complete, but some lines could not be asked about
	// Complete, but charged more than the returned events explain.
	ExitUnexplained = 12
	// Complete, but the command of --after-publish failed.
	ExitAfterPublish = 13
	ExitDeferred     = 20 // part was not asked; run again to continue
	ExitInDoubt      = 21 // some calls may or may not have been charged; a person should look. Part may be left as with 20
	ExitStale        = 22 // of status --max-age: the last good run of a job or list is too old
	ExitDrift        = 23 // answers differ from what this version knows, and --contract is freeze
	ExitUndelivered  = 24 // of webhooks audit: the lake lacks what the vendor has delivered
	ExitAuth         = 30 // key, account or plan
	ExitStorage      = 40 // disk or lake
	ExitLocked       = 50 // another run is at work on the lake
	ExitIntegrity    = 60 // the lake contradicts itself
	ExitUsage        = 64 // flags or an unreadable list
	ExitKilled       = 130
)

// RunExit is the exit code of a run that published: the gravest of what it left and of why it
// stopped. A full disk is no less full because calls are in doubt as well. stop is empty if the run
// came to its end; excess is the charge beyond what the events explain.
func RunExit(outcome pipeline.RunOutcome, stop pipeline.StopKind, excess int64) int {
	code := OutcomeExit(outcome)
	if excess > 0 {
		code = max(code, ExitUnexplained)
	}
	if stop != "" && stop != pipeline.StopUnstable { // of which the outcome says what it left
		code = max(code, StopExit(stop))
	}
	return code
}

// ManifestExit is the exit code of a run that published its manifest.
func ManifestExit(m *pipeline.Manifest) int {
	var stop pipeline.StopKind
	if m.Run.Stop != nil {
		stop = m.Run.Stop.Kind
	}
	return RunExit(m.Run.Outcome, stop, m.Credits.Excess)
}

// OutcomeExit is the exit code of an outcome.
func OutcomeExit(o pipeline.RunOutcome) int {
	switch o {
	case pipeline.RunComplete:
		return ExitComplete
	case pipeline.RunWithRejects:
		return ExitRejects
	case pipeline.RunInDoubt:
		return ExitInDoubt
	case pipeline.RunRefused:
		return ExitAuth
	default:
		return ExitDeferred
	}
}

// StopExit is the exit code of a stop.
func StopExit(kind pipeline.StopKind) int {
	switch kind {
	case pipeline.StopAuth:
		return ExitAuth
	case pipeline.StopRequest, pipeline.StopInput:
		return ExitUsage
	case pipeline.StopStorage:
		return ExitStorage
	case pipeline.StopDrift:
		return ExitDrift
	case pipeline.StopUnstable:
		return ExitInDoubt
	default:
		return ExitDeferred
	}
}
