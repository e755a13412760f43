package sources

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// isPlainMail reports whether s needs no cleaning to be taken for one e-mail address.
func isPlainMail(s string) bool {
	return isTidy(s) && strings.Count(s, "@") == 1 && !strings.ContainsAny(s, " <>()[]{}\"'`,;:|/?")
}

// firstMail picks the address of a cell that has names, labels or several addresses in it. Of
// Exchange's proxy addresses it picks the primary one, which is labelled SMTP in capitals.
func firstMail(s string) (address, note string, err error) {
	found, primary, err := mailAddresses(tidyText(separateControls(s)))
	if err != nil {
		return "", "", err
	}
	address = found[max(primary, 0)]
	distinct := map[string]bool{}
	for _, a := range found {
		distinct[strings.ToLower(a)] = true
	}
	switch {
	case len(distinct) > 1 && primary > 0:
		note = fmt.Sprintf("the primary of %d addresses is used", len(distinct))
	case len(distinct) > 1:
		note = fmt.Sprintf("the first of %d addresses is used", len(distinct))
	}
	return address, note, nil
}

// mailAddresses are the addresses of a cell, at least one, as written but for names, labels and
// comments. primary is the place of Exchange's primary address; -1: none is marked.
func mailAddresses(s string) (found []string, primary int, err error) {
	primary = -1
	for _, entry := range splitMails(s) {
		if i, j := strings.LastIndexByte(entry, '<'), strings.LastIndexByte(entry, '>'); i >= 0 && j > i {
			entry = entry[i+1 : j]
		}
		label, rest, labelled := strings.Cut(entry, ":")
		label = strings.TrimSpace(label)
		switch {
		case !labelled || strings.Contains(label, "@"):
		case otherSchemes[strings.ToLower(label)]:
			continue
		default:
			if entry = rest; label == "SMTP" && primary < 0 {
				primary = len(found)
			}
			if strings.EqualFold(label, "mailto") {
				entry, _, _ = strings.Cut(entry, "?")
			}
		}
		words := strings.FieldsFunc(entry, func(r rune) bool { return r == ' ' || r == '/' })
		words = slices.DeleteFunc(words, func(w string) bool { return strings.Trim(w, mailEdges) == "" })
		for _, w := range words {
			switch n := strings.Count(w, "@"); {
			case n > 1 && len(words) == 1:
				return nil, 0, errNoMail
			case n != 1 && strings.Contains(entry, "@"):
				return nil, 0, errors.New("is not one e-mail address; expected ada@acme.com")
			}
			if strings.Contains(w, "@") {
				found = append(found, strings.Trim(w, mailEdges))
			}
		}
	}
	if len(found) == 0 {
		return nil, 0, errNoMail
	}
	return found, primary, nil
}

// isSampleMail reports whether an address is what forms and vendors show in place of one, such as email@domain.com and
// none@none.com.
func isSampleMail(local, host string) bool {
	label, _, _ := strings.Cut(host, ".")
	kind, _ := lookup(sites.shared, host, "")
	sample := sampleLocals[local] || isPlaceholder(local)
	return sample && (label == local || kind != nil && (kind.name == "placeholder" || kind.name == "sample"))
}

// sampleLocals stand before the @ of addresses that no person has.
var sampleLocals = wordSet("email e-mail mail test user name your.name yourname you me first.last firstname.lastname email_not_unlocked noemail no-email abc")

var errNoMail = errors.New("is not an e-mail address; expected ada@acme.com")

// mailEdges are characters around an address that do not belong to it.
const mailEdges = "<>\"'`()[]{},;:*-. "

// otherSchemes label addresses that are not for mail, among Exchange's proxy addresses.
var otherSchemes = wordSet("x500 x400 sip xmpp eum spo notes tel fax ms gwise ccmail")

// splitMails splits a cell at the separators outside quotes and angle brackets. Comments, in round
// brackets, are dropped.
func splitMails(s string) (entries []string) {
	s = strings.ReplaceAll(s, "](", ";") // a link of Markdown
	var b strings.Builder
	var quoted, angle, comment bool
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '<' || r == '>':
			angle = r == '<'
		case r == '(' || r == ')':
			comment = r == '('
			continue
		}
		switch {
		case comment:
		case !quoted && !angle && strings.ContainsRune(",;|", r):
			entries = append(entries, b.String())
			b.Reset()
		default:
			b.WriteRune(r)
		}
	}
	return append(entries, b.String())
}
